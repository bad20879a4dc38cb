"""Draws a batch at a time, each by its number, in as much memory as there is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.progress import Report
from unfog.runs.memory import Budget, within_memory

Job = tuple[int, int]  # (number of the image, number of the draw)
# (jobs, memory, report of (step, steps)) -> the draws of those jobs, (jobs, ...)
Work = Callable[[list[Job], Budget, Report], Tensor]


def in_batches(
    jobs: list[Job], work: Work, space: tuple[int, ...], batch: int, report: Report | None = None
) -> Tensor:
    """The draws of all jobs, ``batch`` at a time, or fewer where memory runs out.

    Args:
        jobs: Image and draw of each.
        work: Makes the draws of some jobs within a budget of memory.
        space: Size of an image, (*space).
        batch: Jobs at a time.
        report: Told (steps done, steps in all), a step of one job counting as one.

    Returns:
        The draws, (jobs, ...).
    """
    parts, budget = list[Tensor](), Budget(batch)

    def next_part(budget: Budget) -> Tensor:
        start = sum(map(len, parts))
        part = jobs[start : start + budget.batch]

        def report_step(step: int, steps: int) -> None:
            if report is not None:
                report(start * steps + step * len(part), len(jobs) * steps)

        return work(part, budget, report_step)

    while sum(map(len, parts)) < len(jobs):
        # A budget that was too large once is not tried again.
        part, budget = within_memory(next_part, budget, space)
        parts.append(part)
    return torch.cat(parts)
