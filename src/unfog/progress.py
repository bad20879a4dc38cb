"""Progress of long work, on standard error: a bar on a terminal, a plain line every ten seconds
elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

EVERY = 10.0  # seconds between plain lines

Report = Callable[[int, int], None]  # called with (steps done, steps in all)


class Reporter(Protocol):
    """A ``Report`` that also takes a note, such as the loss of the step."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def progress(title: str, stream: TextIO | Console | None = None) -> Iterator[Reporter]:
    """A reporter of the steps of one piece of work: a bar while the block runs, or plain lines
    where ``stream`` (standard error by default) is no terminal.
    """
    from rich.console import Console  # here, as most commands never show a bar
    from rich.progress import BarColumn, Progress, TextColumn

    console = stream if isinstance(stream, Console) else Console(file=stream or sys.stderr)
    if not console.is_terminal:
        yield _plain_lines(title, console)
        return
    columns = (
        TextColumn("{task.fields[title]}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task: TaskID | None = None

        def report(done: int, total: int, note: str = "") -> None:
            nonlocal task
            task = bar.add_task("", title=title, total=total) if task is None else task
            bar.update(task, completed=done, total=total, description=note)

        yield report


def _plain_lines(title: str, console: Console) -> Reporter:
    """A reporter that prints a line every ``EVERY`` seconds."""
    last = time.monotonic()

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        # Training, which has notes, prints its first and last step too; short work prints nothing.
        if now - last >= EVERY or (note and done in (1, total)):
            last = now
            text = f"step {done} of {total}: {note}" if note else f"{title}: step {done} of {total}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return report


def summary(step: int, total: int, loss: float, rate: float) -> str:
    """Loss, rate and time left of a training run, in words.

    Args:
        step: Steps done.
        total: Steps in all.
        loss: The loss of the step.
        rate: Steps a second.

    Returns:
        The text.

    >>> summary(50, 100, 0.25, 10.0)
    'loss 0.2500, 10.0 steps/s, 0:00:05 left'
    """
    left = timedelta(seconds=round((total - step) / rate)) if rate > 0 else "?"
    return f"loss {loss:.4f}, {rate:.1f} steps/s, {left} left"


@contextmanager
def training_progress(
    total: int, stream: TextIO | Console | None = None
) -> Iterator[Callable[[int, float, float], None]]:
    """A callback for ``training.loop.train`` that shows step, loss, rate and the time left."""
    with progress("training", stream) as report:
        yield lambda step, loss, rate: report(step, total, summary(step, total, loss, rate))
