"""Progress of a training run, on standard error: a bar on a terminal, a plain line every ten
seconds elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

Report = Callable[[int, int], None]  # told (done, in all)
EVERY = 10.0  # seconds between plain lines


def summary(step: int, total: int, loss: float, rate: float) -> str:
    """Loss, rate and time left in words.

    >>> summary(50, 100, 0.25, 10.0)
    'loss 0.2500, 10.0 steps/s, 0:00:05 left'
    """
    left = timedelta(seconds=round((total - step) / rate)) if rate > 0 else "?"
    return f"loss {loss:.4f}, {rate:.1f} steps/s, {left} left"


@contextmanager
def progress(
    total: int, stream: TextIO | None = None
) -> Iterator[Callable[[int, float, float], None]]:
    """A callback for ``train`` that shows the step out of ``total``, the loss, the rate and the
    time left.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _lines(total, stream)
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(file=stream), refresh_per_second=4) as bar:
        task = bar.add_task("", total=total)
        yield lambda step, loss, rate: bar.update(
            task, completed=step, description=summary(step, total, loss, rate)
        )


def _lines(total: int, stream: TextIO) -> Callable[[int, float, float], None]:
    told = -EVERY

    def tell(step: int, loss: float, rate: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= EVERY or step == total:
            told = now
            print(
                f"step {step} of {total}: {summary(step, total, loss, rate)}",
                file=stream,
                flush=True,
            )

    return tell


def progress_line(what: str) -> Report:
    """Steps done, on standard error: a line that changes on a terminal, a plain line every ten
    seconds elsewhere.
    """
    terminal, told = sys.stderr.isatty(), time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if terminal:
            sys.stderr.write(f"\r{what}: step {done} of {total}" + "\n" * (done == total))
        elif now - told >= 10:
            told = now
            sys.stderr.write(f"{what}: step {done} of {total}\n")

    return tell
