"""Draws a batch at a time, each by its number, in as much memory as there is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.progress import Report
from unfog.runs.memory import Budget, within_memory

Job = tuple[int, int]  # image, draw of it
# Some draws (jobs, ...), telling (step, steps)
Work = Callable[[list[Job], Budget, Report], Tensor]


def in_batches(
    jobs: list[Job], work: Work, space: tuple[int, ...], batch: int, report: Report | None = None
) -> Tensor:
    """What ``work`` makes of all jobs, ``batch`` at a time, or fewer where memory runs out for
    images of the size ``space``.
    """
    done, budget = list[Tensor](), Budget(batch)

    def some(budget: Budget) -> Tensor:
        start = sum(map(len, done))
        chosen = jobs[start : start + budget.batch]

        def tell(step: int, steps: int) -> None:
            if report is not None:
                report(start * steps + step * len(chosen), len(jobs) * steps)

        return work(chosen, budget, tell)

    while sum(map(len, done)) < len(jobs):
        part, budget = within_memory(some, budget, space)
        done.append(part)
    return torch.cat(done)
