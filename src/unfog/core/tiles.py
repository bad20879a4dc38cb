"""A volume in overlapping tiles, so that memory and the sight of a network stay those of a tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

Place = tuple[slice, ...]


def places(space: Sequence[int], side: int, overlap: int) -> list[Place]:
    """Where tiles of ``side`` voxels lie that cover ``space`` and share ``overlap`` voxels or more with their neighbours."""
    starts = []
    for size in space:
        count = 1 if size <= side else -(-(size - overlap) // (side - overlap))
        starts.append([round(k * (size - side) / (count - 1)) if count > 1 else 0 for k in range(count)])
    return [tuple(slice(a, min(a + side, n)) for a, n in zip(corner, space, strict=True)) for corner in product(*starts)]


def blended(parts: Iterator[tuple[Place, Tensor]], space: Sequence[int]) -> Tensor:
    """Tiles (channels, *size) at their places as one volume (channels, *space), each fading towards its faces."""
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
    """Tiles with the part of each that is its own: (the tile, its core in the volume, its core in the tile); cores part the volume."""
    for tile in places(space, side, overlap):
        inner = tuple(_core(s, n, side, overlap) for s, n in zip(tile, space, strict=True))
        yield tile, inner, tuple(slice(i.start - s.start, i.stop - s.start) for i, s in zip(inner, tile, strict=True))


def _core(tile: slice, size: int, side: int, overlap: int) -> slice:
    """Half of what a tile shares with each neighbour along one axis is the neighbour's."""
    edges = sorted({(p[0].start, p[0].stop) for p in places([size], side, overlap)})
    k = edges.index((tile.start, tile.stop))
    low = 0 if k == 0 else (edges[k - 1][1] + tile.start + 1) // 2
    high = size if k + 1 == len(edges) else (tile.stop + edges[k + 1][0] + 1) // 2
    return slice(low, high)
