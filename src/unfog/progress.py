"""Progress of long work, on standard error: a bar on a terminal; elsewhere a plain line after two
seconds and then every ten, whether or not the work has come to a step.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

# Seconds between plain lines; whoever reads them as they come may ask for more of them.
EVERY = float(os.environ.get("UNFOG_PROGRESS_SECONDS", "10"))
FIRST = min(2.0, EVERY)  # seconds to the first one

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
        with _PlainLines(title, console) as lines:
            yield lines
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


class _PlainLines:
    """A reporter whose lines a timer prints, in a thread of its own; training, which has notes,
    prints its first and last step too, and work that is done before the first line prints nothing.
    """

    def __init__(self, title: str, console: Console) -> None:
        self._title, self._console = title, console
        self._at = f"{title} ..."
        self._ended = threading.Event()
        self._timer = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> _PlainLines:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._timer.join()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        step = f"step {done} of {total}"
        self._at = f"{step}: {note}" if note else f"{self._title}: {step}"
        if note and done in (1, total):
            self._print()

    def _tick(self) -> None:
        wait = FIRST
        while not self._ended.wait(wait):
            self._print()
            wait = EVERY

    def _print(self) -> None:
        self._console.print(self._at, markup=False, highlight=False, soft_wrap=True)


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
