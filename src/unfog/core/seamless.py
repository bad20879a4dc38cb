"""Samples that tile the plane without a seam: a denoiser with periodic borders."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.tiles import window


class Seamless(Denoiser):
    r"""Another denoiser made periodic, so that its samples continue at the opposite border, for
    textures: the weighted mean over cyclically shifted views.

        D(x_t) = sum_s S_s^-1 [w D(S_s x_t)] / sum_s S_s^-1 w,

    S_s a cyclic shift by half the size along some of the axes, w a window that falls linearly to a
    view's border (``core.tiles.window``; Bar-Tal et al. 2023 fuse views so). Every pixel is far
    from the border of some view. 2^d calls of the inner denoiser for d axes of space; conditions
    that are images are shifted along with x_t.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        space, axes = x_t.shape[2:], tuple(range(2, x_t.ndim))
        weight = window(space).to(x_t).expand(1, 1, *space)
        total, weights = torch.zeros_like(x_t), torch.zeros_like(weight)
        # Every combination of shifts by half the size.
        for shift in product(*((0, n // 2) for n in space)):
            # Denoise the shifted view.
            back = tuple(-k for k in shift)
            shifted = {
                name: value.roll(shift, axes) if value.ndim == x_t.ndim else value
                for name, value in condition.items()
            }
            mean: Tensor = self.denoiser(x_t.roll(shift, axes), t, **shifted).mean
            # Shift it back, weighted by its window.
            total, weights = (
                total + (weight * mean).roll(back, axes),
                weights + weight.roll(back, axes),
            )
        return Posterior(total / weights)
