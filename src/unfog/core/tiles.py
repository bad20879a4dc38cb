"""Images and volumes in overlapping tiles, so that a network's memory is that of one tile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError

Place = tuple[slice, ...]


Side = int | Sequence[int]  # one number, or one an axis of space


def places(space: Sequence[int], side: Side, overlap: Side) -> list[Place]:
    """The places of overlapping tiles that cover a volume, spread evenly along each axis.

    Args:
        space: The sides of the volume, in voxels.
        side: The side of a tile in voxels, one number or one an axis; a shorter side of the volume
            is covered by one tile.
        overlap: What neighbouring tiles share at least, likewise.

    Returns:
        One tuple of slices over ``space`` for each tile.
    """
    sides, starts = _each(side, len(space)), []
    for size, s, shared in zip(space, sides, _each(overlap, len(space)), strict=True):
        # The fewest tiles with this overlap, spread evenly from one face to the other.
        count = 1 if size <= s else -(-(size - shared) // (s - shared))
        starts.append(
            [round(k * (size - s) / (count - 1)) if count > 1 else 0 for k in range(count)]
        )
    return [
        tuple(slice(a, min(a + s, n)) for a, n, s in zip(corner, space, sides, strict=True))
        for corner in product(*starts)
    ]


Cover = Callable[[Sequence[int], Side, Side, Tensor], list[Place]]  # (space, side, overlap, t)


def fixed(space: Sequence[int], side: Side, overlap: Side, t: Tensor) -> list[Place]:
    """``places``, the same at all times."""
    return places(space, side, overlap)


def shifted(space: Sequence[int], side: Side, overlap: Side, t: Tensor) -> list[Place]:
    """Tiles that lie elsewhere at every time of a sampler, so that no border of theirs stays in one
    place and adds up: ``places`` moved by a share of their distance that looks random in t. The
    first and the last tile of an axis stay at the faces.

    Args:
        space: As of ``places``.
        side: As of ``places``.
        overlap: As of ``places``; neighbours share as much, or more.
        t: The time, (batch,) or a scalar, the same for all samples.

    Returns:
        One tuple of slices over ``space`` for each tile.
    """
    sides, starts = _each(side, len(space)), []
    turn = round(float(t.flatten()[0]) * 2**20)
    for axis, (n, s, shared) in enumerate(
        zip(space, sides, _each(overlap, len(space)), strict=True)
    ):
        if n <= s:
            starts.append([0])
            continue
        # The fractional parts of multiples of an irrational number are spread evenly.
        share = (turn * (5**0.5 - 1) / 2 + axis * (2**0.5 - 1)) % 1
        stride = s - shared
        inner = range(int(share * stride) - stride, n - s, stride)
        starts.append(sorted({0, *(max(0, a) for a in inner), n - s}))
    return [
        tuple(slice(a, min(a + s, n)) for a, n, s in zip(corner, space, sides, strict=True))
        for corner in product(*starts)
    ]


def _each(side: Side, axes: int) -> list[int]:
    """One number for each axis."""
    return [side] * axes if isinstance(side, int) else list(side)


def blended(parts: Iterator[tuple[Place, Tensor]], space: Sequence[int]) -> Tensor:
    """One volume (channels, *space) of tiles (channels, *size) at their places: where they overlap,
    their mean weighted by a ``window`` that falls towards a tile's faces.
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
    """The weights (*size) of a tile in a mean of overlapping ones: they rise linearly from each
    face inwards, to at most 1.
    """
    weight = torch.ones(())
    for n in size:
        at = torch.arange(n, dtype=torch.float32)
        weight = weight[..., None] * torch.minimum(at + 1, n - at)
    return weight / weight.max()


def cores(space: Sequence[int], side: int, overlap: int) -> Iterator[tuple[Place, Place, Place]]:
    """Overlapping tiles, each with its core: the cores are disjoint and cover the volume.

    Args:
        space: The sides of the volume, in voxels.
        side: The side of a tile, in voxels.
        overlap: What neighbouring tiles share at least, in voxels.

    Returns:
        For each tile: the tile in the volume, its core in the volume, its core in the tile.
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
    """A tile's core along one axis of ``size`` voxels: the overlap with each neighbour is halved
    between the two.
    """
    edges = sorted({(p[0].start, p[0].stop) for p in places([size], side, overlap)})
    k = edges.index((tile.start, tile.stop))
    low = 0 if k == 0 else (edges[k - 1][1] + tile.start + 1) // 2
    high = size if k + 1 == len(edges) else (tile.stop + edges[k + 1][0] + 1) // 2
    return slice(low, high)


class Tiled(Denoiser):
    """A denoiser of whole images, from a denoiser of tiles: the weighted mean of overlapping tiles
    (Bar-Tal et al. 2023).

        D(x_t) = sum_i w_i D_i(x_t) / sum_i w_i,      w_i the ``window`` of tile i.

    Maps on the grid of x_t are cut with it; other conditions are the same for all tiles. All tiles
    of a step are one batch, or several of ``batch``. Where a gradient is taken, each of several
    is recomputed in the backward pass (gradient checkpointing), so that memory is that of one.

    Args:
        denoiser: The denoiser of tiles.
        size: The side of a tile in pixels, one number or one an axis of space.
        overlap: What neighbouring tiles share at least, likewise; by default half a tile.
        batch: The most tiles in one call of ``denoiser``.
        maps: The conditions that are maps on the grid of x_t, by name.
        cover: Where tiles lie at a time: ``fixed`` or ``shifted``.

    Raises:
        InputError: The overlap is negative, or not less than ``size``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        size: Side,
        overlap: Side | None = None,
        batch: int = 64,
        maps: Collection[str] = (),
        cover: Cover = fixed,
    ) -> None:
        super().__init__()
        sides = _each(size, 1)
        if overlap is None:
            overlap = size // 2 if isinstance(size, int) else [side // 2 for side in size]
        shared = _each(overlap, len(sides))
        if not all(0 <= s < side for s, side in zip(shared, sides, strict=True)):
            raise InputError(
                f"The overlap of tiles is from 0 to less than their size {size}, got {overlap}."
            )
        self.denoiser, self.process = denoiser, denoiser.process
        self.size, self.overlap, self.batch, self.maps = size, overlap, batch, tuple(maps)
        self.cover = cover

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        # All tiles of all samples as one batch, with their times and conditions.
        where = [
            (slice(None), slice(None), *place)
            for place in self.cover(x_t.shape[2:], self.size, self.overlap, t)
        ]
        tiles = torch.cat([x_t[place] for place in where])
        times = t.expand(len(x_t)).repeat(len(where))
        given = {
            name: _cut(name, value, x_t, where)
            if name in self.maps
            else torch.cat([value] * len(where))
            for name, value in condition.items()
        }
        # Denoise them, ``batch`` at a time.
        # With a gradient each of several calls is recomputed in the backward pass.
        several = len(tiles) > self.batch
        differentiated = several and tiles.requires_grad and torch.is_grad_enabled()
        compute: Callable[..., Tensor] = (
            partial(checkpoint, self._mean, use_reentrant=False) if differentiated else self._mean
        )
        means = []
        for rows in torch.split(torch.arange(len(tiles)), self.batch):
            means.append(
                compute(
                    tiles[rows],
                    times[rows],
                    {name: value[rows] for name, value in given.items()},
                )
            )
        # Blend them: the mean weighted by each tile's window.
        total, weights = torch.zeros_like(x_t), torch.zeros_like(x_t[:1, :1])
        for place, mean in zip(where, torch.cat(means).chunk(len(where)), strict=True):
            weight = window(mean.shape[2:]).to(mean)
            total[place] += weight * mean
            weights[place] += weight
        return Posterior(total / weights)

    def _mean(self, tiles: Tensor, times: Tensor, condition: dict[str, Tensor]) -> Tensor:
        mean: Tensor = self.denoiser(tiles, times, **condition).mean
        return mean


def _cut(name: str, value: Tensor, x_t: Tensor, where: Sequence[tuple[slice, ...]]) -> Tensor:
    """A map on the grid of x_t, cut as x_t is."""
    if value.ndim != x_t.ndim or value.shape[2:] != x_t.shape[2:]:
        raise InputError(
            f"Tiles cut maps that lie on the grid of the image, {tuple(x_t.shape[2:])}; {name} is "
            f"{tuple(value.shape[2:])}."
        )
    return torch.cat([value[place] for place in where])
