"""Draws a batch at a time, each by its number, in as much memory as there is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.progress import Report
from unfog.runs.memory import Room, within_memory

Job = tuple[int, int]  # image, draw of it
Work = Callable[[list[Job], Room, Report], Tensor]  # some draws (jobs, ...), telling (step, steps)


def in_batches(
    jobs: list[Job], work: Work, space: tuple[int, ...], batch: int, report: Report | None = None
) -> Tensor:
    """What ``work`` makes of all jobs, ``batch`` at a time, or fewer where memory runs out for
    images of the size ``space``.
    """
    done, room = list[Tensor](), Room(batch)

    def some(room: Room) -> Tensor:
        start = sum(map(len, done))
        chosen = jobs[start : start + room.batch]

        def tell(step: int, steps: int) -> None:
            if report is not None:
                report(start * steps + step * len(chosen), len(jobs) * steps)

        return work(chosen, room, tell)

    while sum(map(len, done)) < len(jobs):
        part, room = within_memory(some, room, space)
        done.append(part)
    return torch.cat(done)
