"""Repeats of cloth: how cells lie beside each other, how large a canvas of whole repeats is, and
the sheet that shows a printer where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unfog.core.torus import Offset, laid_out
from unfog.errors import InputError
from unfog.files.prints import INCH, millimetres

# Of each repeat what a cell's neighbour to the right goes down, and the one below goes across, as
# shares of the cell.
SHIFTS = {"square": (0.0, 0.0), "half-drop": (0.5, 0.0), "brick": (0.0, 0.5)}


@dataclass(frozen=True)
class Repeat:
    """A cell that repeats over cloth.

    Args:
        name: ``square``, ``half-drop`` (each column half a cell lower) or ``brick`` (each row half
            a cell further).
        size: Rows and columns of the cell, in pixels.
    """

    name: str
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.name not in SHIFTS:
            raise InputError(f"A repeat is {', '.join(SHIFTS)}, not {self.name!r}.")
        halved = [n for n, share in zip(self.size, SHIFTS[self.name], strict=True) if share]
        if min(self.size) < 1 or any(n % 2 for n in halved):
            raise InputError(
                f"The {self.name} repeat halves a cell of {_by(self.size)}; give it an even side."
            )

    @property
    def offset(self) -> Offset:
        """(down, across) in pixels, as ``core.torus.home`` takes it."""
        down, across = (
            int(n * share) for n, share in zip(self.size, SHIFTS[self.name], strict=True)
        )
        return down, across

    @property
    def period(self) -> tuple[int, int]:
        """The smallest canvas whose own copies side by side continue the cloth."""
        down, across = self.offset
        return self.size[0] * (2 if across else 1), self.size[1] * (2 if down else 1)

    def whole(self, canvas: Sequence[int]) -> tuple[int, int]:
        """The canvas of whole periods nearest to the one asked for, one at least."""
        rows, columns = (max(1, round(n / p)) * p for n, p in zip(canvas, self.period, strict=True))
        return rows, columns

    def cloth(self, cell: NDArray[np.uint8], canvas: Sequence[int]) -> NDArray[np.uint8]:
        """A canvas (rows, columns[, 3]) covered by copies of a cell (H, W[, 3])."""
        grey = cell.ndim == 2
        planes = torch.from_numpy(cell[None] if grey else np.moveaxis(cell, 2, 0).copy())
        covered = laid_out(planes, canvas, self.offset).numpy()
        return covered[0] if grey else np.moveaxis(covered, 0, 2)


def sheet(repeat: Repeat, cloth: NDArray[np.uint8], dpi: float) -> NDArray[np.uint8]:
    """A canvas in a white margin, with marks where cells begin along its upper and left side, and
    what the repeat is in words.

    Args:
        repeat: The repeat.
        cloth: (rows, columns[, 3]).
        dpi: Dots an inch.

    Returns:
        (rows, columns, 3), the canvas as it is within a margin of half an inch.
    """
    margin = max(16, round(dpi / 2))
    rows, columns = cloth.shape[:2]
    page = Image.new("RGB", (columns + 2 * margin, rows + 2 * margin), "white")
    page.paste(Image.fromarray(cloth).convert("RGB"), (margin, margin))
    draw, line = ImageDraw.Draw(page), max(1, round(dpi / 150))
    near, far = margin // 2, margin - 2
    for column in range(0, columns + 1, repeat.size[1]):
        draw.line([(margin + column, near), (margin + column, far)], "black", line)
    for row in range(0, rows + 1, repeat.size[0]):
        draw.line([(near, margin + row), (far, margin + row)], "black", line)
    font = ImageFont.load_default(size=max(8, margin // 3))
    draw.text((margin, rows + margin + near // 2), words(repeat, dpi), "black", font=font)
    return np.asarray(page)


def words(repeat: Repeat, dpi: float) -> str:
    """What a repeat is, for its sheet."""
    high, wide = (millimetres(n, dpi) for n in repeat.size)
    return f"{repeat.name} repeat, {high:.1f} x {wide:.1f} mm at {dpi:g} dots an inch ({INCH} mm)"


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
