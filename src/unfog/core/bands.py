"""A picture denoised band by band, so that one too large for memory can lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.tiles import shifted, window

Part = Callable[[slice, slice], Tensor]  # (rows, columns) -> (channels, rows, columns)


@dataclass(frozen=True)
class Bands:
    """A denoiser of pictures of any size, from one of tiles: ``core.tiles.Tiled`` with tiles
    ``shifted`` in time, which holds one row of tiles at a time.

    Args:
        denoiser: Of tiles.
        side: Of a tile, in pixels.
        overlap: What neighbouring tiles share at least.
        maps: The conditions that lie on the picture's grid, part by part, by name.
        condition: The others, each a batch of one.
        batch: Tiles in one call.
    """

    denoiser: Denoiser
    side: int
    overlap: int
    maps: Mapping[str, Part] = field(default_factory=dict)
    condition: Mapping[str, Tensor] = field(default_factory=dict)
    batch: int = 8

    def __call__(
        self, picture: Part, size: tuple[int, int], t: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """E[x_0 | x_t] of one picture, from its top to its bottom.

        Args:
            picture: x_t, part by part.
            size: Its rows and columns.
            t: The time, a scalar.

        Yields:
            Rows, and their estimate (channels, rows, columns); all rows once, in order.
        """
        tiles = shifted(size, self.side, self.overlap, t)
        # Rows and columns at which tiles begin, each once.
        tops = sorted({(place[0].start, place[0].stop) for place in tiles})
        lefts = sorted({(place[1].start, place[1].stop) for place in tiles})
        first = 0
        total, weights = torch.zeros(0), torch.zeros(0)
        for number, (top, bottom) in enumerate(tops):
            fresh, weight = self._row(picture, slice(top, bottom), lefts, size[1], t)
            # Below the rows that earlier tiles left over, which begin at ``first``, is room.
            total = _longer(total, bottom - first, fresh)
            weights = _longer(weights, bottom - first, weight)
            total[:, top - first :] += fresh
            weights[:, top - first :] += weight
            # Rows above the next row of tiles are done.
            end = tops[number + 1][0] if number + 1 < len(tops) else size[0]
            done = end - first
            if done:
                yield slice(first, end), total[:, :done] / weights[:, :done]
                total, weights, first = total[:, done:], weights[:, done:], end

    @torch.no_grad()
    def _row(
        self, picture: Part, rows: slice, lefts: list[tuple[int, int]], width: int, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The weighted estimates of a row of tiles (channels, rows, width), summed where they
        overlap, and their weights (1, rows, width).
        """
        total, weights = torch.zeros(0), torch.zeros(1, rows.stop - rows.start, width)
        for k in range(0, len(lefts), self.batch):
            some = [slice(*left) for left in lefts[k : k + self.batch]]
            x = torch.stack([picture(rows, columns) for columns in some])
            told = {
                name: value.expand(len(some), *value.shape[1:])
                for name, value in self.condition.items()
            }
            for name, part in self.maps.items():
                told[name] = torch.stack([part(rows, columns) for columns in some])
            mean: Tensor = self.denoiser(x, t.expand(len(some)), **told).mean
            fade = window(mean.shape[2:]).to(mean)
            total = total if len(total) else mean.new_zeros(mean.shape[1], mean.shape[2], width)
            for columns, estimate in zip(some, mean, strict=True):
                total[:, :, columns] += fade * estimate
                weights[:, :, columns] += fade
        return total, weights


def _longer(sums: Tensor, rows: int, like: Tensor) -> Tensor:
    """Sums (channels, n, width) with zeros below, so that they have so many rows; all zeros where
    there are none yet.
    """
    had = sums.shape[1] if sums.ndim == 3 else 0
    room = like.new_zeros(len(like), rows - had, like.shape[2])
    return torch.cat([sums, room], 1) if had else room
