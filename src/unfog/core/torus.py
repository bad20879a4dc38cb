"""Pictures that repeat over the plane, by a lattice that may be offset: cells of a half-drop or a
brick repeat, and a denoiser of them from one of windows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.tiles import window
from unfog.errors import InputError

Offset = tuple[int, int]
SQUARE: Offset = (0, 0)


def home(rows: Tensor, columns: Tensor, size: Sequence[int], offset: Offset = SQUARE) -> Tensor:
    """Where points of a periodic plane lie in its cell, which has the H rows and W columns of
    ``size`` and repeats by

        x(r + down, c + W) = x(r, c),      x(r + H, c + across) = x(r, c),

    of which (0, 0) is a square repeat, (H / 2, 0) half-drop and (0, W / 2) brick.

    Args:
        rows: Whole numbers, (n,).
        columns: Whole numbers, (m,).
        size: (H, W).
        offset: (down, across), one of them 0.

    Returns:
        (n, m), the place in the cell read row by row.

    Raises:
        InputError: Both offsets differ from 0.
    """
    (height, width), (down, across) = size, offset
    if down and across:
        raise InputError("A repeat is offset down or across, not both.")
    r, c = rows[:, None], columns[None, :]
    right, below = c.div(width, rounding_mode="floor"), r.div(height, rounding_mode="floor")
    return (r - right * down) % height * width + (c - below * across) % width


def laid_out(cell: Tensor, size: Sequence[int], offset: Offset = SQUARE) -> Tensor:
    """A canvas covered by copies of a cell.

    Args:
        cell: (..., H, W).
        size: Rows and columns of the canvas.
        offset: As of ``home``.

    Returns:
        (..., rows, columns), the cell itself in its upper left corner.
    """
    rows, columns = (torch.arange(n, device=cell.device) for n in size)
    return cell.flatten(-2)[..., home(rows, columns, cell.shape[-2:], offset)]


def starts(length: int, side: int, overlap: int, share: float) -> list[int]:
    """Where windows begin that cover a circle of ``length`` points, with at least this overlap,
    spread evenly and turned by a ``share`` of their distance.
    """
    count = max(1, -(-length // (side - overlap)))
    return [int((k + share) * length / count) for k in range(count)]


class Torus(Denoiser):
    """A denoiser of a cell that repeats over the plane, from a denoiser of windows: the weighted
    mean of windows that go on in the next copy,

        D(x_t) = sum_i w_i D_i(x_t) / sum_i w_i,      w_i the ``window`` of ``core.tiles``,

    which lie elsewhere at every time, so that no place of the cell is a border of any: the law of a
    sample is that of the torus, with no seam to hide. A cell may be smaller than a window. One axis
    of the cell may be offset against its neighbours (``home``).

    Args:
        denoiser: The denoiser of windows, in two dimensions.
        size: The sides of a window.
        offset: As of ``home``.
        overlap: What neighbouring windows share at least, along either axis; half a side by
            default.
        batch: The most windows in one call of ``denoiser``.
        maps: The conditions that are maps on the grid of x_t, by name.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        size: Sequence[int],
        offset: Offset = SQUARE,
        overlap: int | None = None,
        batch: int = 16,
        maps: Collection[str] = (),
    ) -> None:
        super().__init__()
        if len(size) != 2:
            raise InputError("Repeats are of pictures, with two axes of space.")
        shared = min(size) // 2 if overlap is None else overlap
        if not 0 <= shared < min(size):
            raise InputError(
                f"The overlap of windows is from 0 to less than their side {min(size)}, got "
                f"{shared}."
            )
        self.denoiser, self.process = denoiser, denoiser.process
        self.size, self.offset, self.overlap = tuple(size), offset, shared
        self.batch, self.maps = batch, tuple(maps)

    def places(self, cell: Sequence[int], t: Tensor) -> Tensor:
        """The points of every window at a time, (windows, points of a window), by ``home``."""
        # The fractional parts of multiples of irrational numbers are spread evenly.
        turn = round(float(t.flatten()[0]) * 2**20)
        shares = [(turn * (5**0.5 - 1) / 2) % 1, (turn * (2**0.5 - 1)) % 1]
        along = [
            [torch.arange(side) + a for a in starts(n, side, self.overlap, share)]
            for n, side, share in zip(cell, self.size, shares, strict=True)
        ]
        where = [home(r, c, cell, self.offset).flatten() for r in along[0] for c in along[1]]
        return torch.stack(where)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        cell, points = x_t.shape[2:], self.places(x_t.shape[2:], t).to(x_t.device)
        weight = window(self.size).to(x_t).flatten()
        total = torch.zeros_like(x_t).flatten(2)
        weights = total.new_zeros(cell.numel())
        for sample in range(len(x_t)):
            flat = x_t[sample].flatten(1)
            own = {name: value[sample] for name, value in condition.items()}
            for some in torch.split(points, self.batch):
                # Cut, denoise, and add what overlaps.
                tiles = self._windows(flat, some)
                told = {name: self._cut(name, value, some) for name, value in own.items()}
                times = t.expand(len(x_t))[sample].expand(len(tiles))
                mean: Tensor = self.denoiser(tiles, times, **told).mean
                parts = (weight * mean.flatten(2)).transpose(0, 1).flatten(1)
                total[sample].index_add_(1, some.flatten(), parts)
        weights.index_add_(0, points.flatten(), weight.repeat(len(points)))
        return Posterior((total / weights).reshape(x_t.shape))

    def _windows(self, flat: Tensor, some: Tensor) -> Tensor:
        """A map (channels, points) at the points of windows, (windows, channels, *size)."""
        return flat[:, some].transpose(0, 1).reshape(len(some), len(flat), *self.size)

    def _cut(self, name: str, value: Tensor, some: Tensor) -> Tensor:
        """A sample's condition for some windows: cut where it is a map, else repeated."""
        if name in self.maps:
            return self._windows(value.flatten(1), some)
        return value.expand(len(some), *value.shape)
