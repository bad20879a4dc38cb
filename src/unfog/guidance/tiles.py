r"""Images of any size, by overlapping tiles of the size that a prior was trained on (Fei et al. 2023, GDP's hierarchical guidance).

    D(x_t) = sum_k w_k D_tile(x_t on tile k) / sum_k w_k

at every step, so that tiles agree where they overlap and the measurement, which the tiles know nothing of, is that of the whole image. The
paper's mean has equal weights; here w_k falls linearly to a tile's border, where the tile knows least, so that no seam is left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.tiles import places, window
from unfog.errors import InputError


class Tiled(Denoiser):
    """A denoiser of whole images made of one of tiles ``size`` wide; all tiles of a step are one batch, or several of ``batch``.

    Where it is differentiated each batch is computed once more then, so that memory holds what one of them needs.
    """

    def __init__(self, denoiser: Denoiser, size: int, overlap: int | None = None, batch: int = 64) -> None:
        """``overlap`` in pixels, by default half a tile."""
        super().__init__()
        overlap = size // 2 if overlap is None else overlap
        if not 0 <= overlap < size:
            raise InputError(f"The overlap of tiles is from 0 to less than their size {size}, got {overlap}.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.size, self.overlap, self.batch = size, overlap, batch

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        where = [(slice(None), slice(None), *place) for place in places(x_t.shape[2:], self.size, self.overlap)]
        tiles = torch.cat([x_t[place] for place in where])
        times = t.expand(len(x_t)).repeat(len(where))
        repeated = {name: _one_each(name, value).repeat(len(where)) for name, value in condition.items()}
        differentiated = tiles.requires_grad and torch.is_grad_enabled()
        compute: Callable[..., Tensor] = partial(checkpoint, self._mean, use_reentrant=False) if differentiated else self._mean
        means = []
        for rows in torch.split(torch.arange(len(tiles)), self.batch):
            means.append(compute(tiles[rows], times[rows], {name: value[rows] for name, value in repeated.items()}))
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
        raise InputError(f"Tiles share conditions that are one value a sample; {name} is {tuple(value.shape)}.")
    return value
