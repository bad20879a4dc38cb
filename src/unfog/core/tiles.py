"""A volume in overlapping tiles, so that memory and the sight of a network stay those of a tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError

Place = tuple[slice, ...]


def places(space: Sequence[int], side: int, overlap: int) -> list[Place]:
    """Where tiles of ``side`` voxels lie that cover ``space`` and share ``overlap`` voxels or more
    with their neighbours.
    """
    starts = []
    for size in space:
        count = 1 if size <= side else -(-(size - overlap) // (side - overlap))
        starts.append(
            [round(k * (size - side) / (count - 1)) if count > 1 else 0 for k in range(count)]
        )
    return [
        tuple(slice(a, min(a + side, n)) for a, n in zip(corner, space, strict=True))
        for corner in product(*starts)
    ]


def blended(parts: Iterator[tuple[Place, Tensor]], space: Sequence[int]) -> Tensor:
    """Tiles (channels, *size) at their places as one volume (channels, *space), each fading towards
    its faces.
    """
    total, weight = None, torch.zeros(*space)
    for place, part in parts:
        if total is None:
            total = torch.zeros(len(part), *space, dtype=part.dtype)
        fade = window(part.shape[1:]).to(part)
        total[:, *place] += fade * part
        weight[place] += fade
    assert total is not None
    return total / weight


def window(size: Sequence[int]) -> Tensor:
    """Weights (*size) that rise linearly from each face inwards."""
    weight = torch.ones(())
    for n in size:
        at = torch.arange(n, dtype=torch.float32)
        weight = weight[..., None] * torch.minimum(at + 1, n - at)
    return weight / weight.max()


def cores(space: Sequence[int], side: int, overlap: int) -> Iterator[tuple[Place, Place, Place]]:
    """Tiles with the part of each that is its own: (the tile, its core in the volume, its core in
    the tile); cores part the volume.
    """
    for tile in places(space, side, overlap):
        inner = tuple(_core(s, n, side, overlap) for s, n in zip(tile, space, strict=True))
        yield (
            tile,
            inner,
            tuple(
                slice(i.start - s.start, i.stop - s.start) for i, s in zip(inner, tile, strict=True)
            ),
        )


def _core(tile: slice, size: int, side: int, overlap: int) -> slice:
    """Half of what a tile shares with each neighbour along one axis is the neighbour's."""
    edges = sorted({(p[0].start, p[0].stop) for p in places([size], side, overlap)})
    k = edges.index((tile.start, tile.stop))
    low = 0 if k == 0 else (edges[k - 1][1] + tile.start + 1) // 2
    high = size if k + 1 == len(edges) else (tile.stop + edges[k + 1][0] + 1) // 2
    return slice(low, high)


class Tiled(Denoiser):
    """A denoiser of whole images made of one of tiles ``size`` wide; all tiles of a step are one
    batch, or several of ``batch``.

    Where it is differentiated each batch is computed once more then, so that memory holds what one
    of them needs.
    """

    def __init__(
        self, denoiser: Denoiser, size: int, overlap: int | None = None, batch: int = 64
    ) -> None:
        """``overlap`` in pixels, by default half a tile."""
        super().__init__()
        overlap = size // 2 if overlap is None else overlap
        if not 0 <= overlap < size:
            raise InputError(
                f"The overlap of tiles is from 0 to less than their size {size}, got {overlap}."
            )
        self.denoiser, self.process = denoiser, denoiser.process
        self.size, self.overlap, self.batch = size, overlap, batch

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        where = [
            (slice(None), slice(None), *place)
            for place in places(x_t.shape[2:], self.size, self.overlap)
        ]
        tiles = torch.cat([x_t[place] for place in where])
        times = t.expand(len(x_t)).repeat(len(where))
        repeated = {
            name: _one_each(name, value).repeat(len(where)) for name, value in condition.items()
        }
        differentiated = tiles.requires_grad and torch.is_grad_enabled()
        compute: Callable[..., Tensor] = (
            partial(checkpoint, self._mean, use_reentrant=False) if differentiated else self._mean
        )
        means = []
        for rows in torch.split(torch.arange(len(tiles)), self.batch):
            means.append(
                compute(
                    tiles[rows],
                    times[rows],
                    {name: value[rows] for name, value in repeated.items()},
                )
            )
        total, weights = torch.zeros_like(x_t), torch.zeros_like(x_t[:1, :1])
        for place, mean in zip(where, torch.cat(means).chunk(len(where)), strict=True):
            weight = window(mean.shape[2:]).to(mean)
            total[place] += weight * mean
            weights[place] += weight
        return Posterior(total / weights)

    def _mean(self, tiles: Tensor, times: Tensor, condition: dict[str, Tensor]) -> Tensor:
        mean: Tensor = self.denoiser(tiles, times, **condition).mean
        return mean


def _one_each(name: str, value: Tensor) -> Tensor:
    if value.ndim > 1:
        raise InputError(
            f"Tiles share conditions that are one value a sample; {name} is {tuple(value.shape)}."
        )
    return value
