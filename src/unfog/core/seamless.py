r"""Samples that tile a plane without a seam: the denoiser on a torus, by the mean over views of it
that are cut elsewhere.

    D(x_t) = sum_s w_s S_s^-1 D(S_s x_t) / sum_s w_s,
    S_s: a shift by half the size along some of the axes, around the borders,

where w falls linearly to a view's border, as in ``guidance.tiles`` (Bar-Tal et al. 2023 fuse views
so): every pixel is far from the border of some view, and none of them knows where the sample
begins. 2^d calls for d axes.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.tiles import window


class Seamless(Denoiser):
    """Another denoiser whose samples go on at the opposite border, for textures; conditions that
    are images are shifted along.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        space, axes = x_t.shape[2:], tuple(range(2, x_t.ndim))
        weight = window(space).to(x_t).expand(1, 1, *space)
        total, weights = torch.zeros_like(x_t), torch.zeros_like(weight)
        for shift in product(*((0, n // 2) for n in space)):
            back = tuple(-k for k in shift)
            seen = {
                name: value.roll(shift, axes) if value.ndim == x_t.ndim else value
                for name, value in condition.items()
            }
            mean: Tensor = self.denoiser(x_t.roll(shift, axes), t, **seen).mean
            total, weights = (
                total + (weight * mean).roll(back, axes),
                weights + weight.roll(back, axes),
            )
        return Posterior(total / weights)
