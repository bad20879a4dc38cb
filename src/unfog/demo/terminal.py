"""The demo's output while it works, on standard error: bars and pictures on a terminal, plain lines
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.segment import Segments as Picture
from rich.style import Style

from unfog.progress import Report, progress
from unfog.report import pictures


class Show:
    """Prints lines, pictures and the progress of each stage."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def pictures(self, row: Sequence[pictures.Picture]) -> None:
        """Show a row of pictures, where the terminal has the colours for it."""
        if self.console.is_terminal and self.console.color_system in ("256", "truecolor"):
            self.console.print(half_blocks(fit(pictures.mosaic([row]), self.console.width)))

    @contextmanager
    def stage(self, title: str) -> Iterator[Report]:
        """Announce a stage; yields the function that reports its progress."""
        if not self.console.is_terminal:
            self.say(f"{title} ...")
        with progress(title, self.console) as report:
            yield report


def fit(picture: pictures.Picture, width: int) -> pictures.Picture:
    """The picture shrunk by averaging whole pixels until it fits ``width`` columns."""
    factor = -(-picture.shape[1] // width)
    height, width = (n // factor * factor for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return np.asarray(blocks.mean((1, 3)).round(), dtype=np.uint8)


def half_blocks(picture: pictures.Picture) -> Picture:
    """The picture in characters of two pixels each: the upper half block in one colour, its
    background in the other.
    """
    segments: list[Segment] = []
    for upper, lower in zip(picture[:-1:2], picture[1::2], strict=True):
        for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
            style = Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom))
            segments.append(Segment("▀", style))
        segments.append(Segment.line())
    return Picture(segments)
