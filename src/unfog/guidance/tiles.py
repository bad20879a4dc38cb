r"""Images of any size, by overlapping tiles of the size that a prior was trained on (Fei et al. 2023, GDP's hierarchical guidance).

    D(x_t) = sum_k w_k D_tile(x_t on tile k) / sum_k w_k

at every step, so that tiles agree where they overlap and the measurement, which the tiles know nothing of, is that of the whole image. The
paper's mean has equal weights; here w_k falls linearly to a tile's border, where the tile knows least, so that no seam is left.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError


class Tiled(Denoiser):
    """A denoiser of whole images made of one of tiles ``size`` wide; all tiles of a step are one batch, or several of ``batch``."""

    def __init__(self, denoiser: Denoiser, size: int, overlap: int | None = None, batch: int = 64) -> None:
        """``overlap`` in pixels, by default half a tile."""
        super().__init__()
        overlap = size // 2 if overlap is None else overlap
        if not 0 <= overlap < size:
            raise InputError(f"The overlap of tiles is from 0 to less than their size {size}, got {overlap}.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.size, self.stride, self.batch = size, size - overlap, batch

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        corners = product(*map(self._starts, x_t.shape[2:]))
        places = [(slice(None), slice(None), *(slice(k, k + self.size) for k in corner)) for corner in corners]
        tiles = torch.cat([x_t[place] for place in places])
        times = t.expand(len(x_t)).repeat(len(places))
        repeated = {name: _one_each(name, value).repeat(len(places)) for name, value in condition.items()}
        means = []
        for rows in torch.split(torch.arange(len(tiles)), self.batch):
            means.append(self.denoiser(tiles[rows], times[rows], **{name: value[rows] for name, value in repeated.items()}).mean)
        total, weights = torch.zeros_like(x_t), torch.zeros_like(x_t[:1, :1])
        for place, mean in zip(places, torch.cat(means).chunk(len(places)), strict=True):
            weight = _hat(mean[:1, :1])
            total[place] += weight * mean
            weights[place] += weight
        return Posterior(total / weights)

    def _starts(self, n: int) -> list[int]:
        """Where tiles begin along an axis of n pixels: the last ends at its end."""
        last = max(n - self.size, 0)
        return [*range(0, last, self.stride), last]


def _hat(like: Tensor) -> Tensor:
    """Distances to the nearer border, multiplied over the axes of space."""
    weight = torch.ones_like(like)
    for axis in range(2, like.ndim):
        n = like.shape[axis]
        place = torch.arange(n, dtype=like.dtype, device=like.device)
        weight = weight * torch.minimum(place + 1, n - place).view(-1, *(1,) * (like.ndim - 1 - axis))
    return weight


def _one_each(name: str, value: Tensor) -> Tensor:
    if value.ndim > 1:
        raise InputError(f"Tiles share conditions that are one value a sample; {name} is {tuple(value.shape)}.")
    return value
