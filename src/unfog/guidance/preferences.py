r"""Preferences: losses of x_0 that say what a restored picture should look like, and a denoiser
guided by one; those of GDP for low light (Fei et al. 2023).

All losses are (batch, channels, *space) -> (batch,), on the scale of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError

Loss = Callable[[Tensor], Tensor]


def exposure_control(level: float = 0.2, patch: int = 16) -> Loss:
    r"""Zero-DCE's exposure control (Guo et al. 2020), mean over patches of |mean(patch) - level|;
    their 0.6 of [0, 1] is 0.2 of [-1, 1]. With it a patch moves as a whole by the ``strength`` of
    ``LossGuided`` until it is as bright as asked for.
    """
    if patch < 1:
        raise InputError(f"The patch of an exposure loss has 1 pixel or more a side, got {patch}.")

    def loss(x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        for axis in range(2, x.ndim):  # a last patch may be smaller
            grey = torch.stack([part.mean(axis) for part in torch.split(grey, patch, axis)], axis)
        return (grey - level).abs().flatten(1).mean(1)

    return loss


def colour_constancy(x: Tensor) -> Tensor:
    r"""Zero-DCE's colour constancy, sum over pairs of channels of (mean_p - mean_q)^2: the world is
    grey (Buchsbaum 1980).
    """
    means = x.flatten(2).mean(2)
    if means.shape[1] < 2:
        raise InputError("Colour constancy compares channels, and this picture has one.")
    return torch.stack(
        [(means[:, p] - means[:, q]) ** 2 for p, q in combinations(range(means.shape[1]), 2)], 1
    ).sum(1)


def total_variation(x: Tensor) -> Tensor:
    r"""Anisotropic total variation (Rudin, Osher & Fatemi 1992), sum over axes of the mean
    |difference of neighbours|.
    """
    return torch.stack(
        [x.diff(dim=axis).abs().flatten(1).mean(1) for axis in range(2, x.ndim)], 1
    ).sum(1)


class LossGuided(Denoiser):
    """A denoiser whose estimates are moved down the slope of a loss Q,

        D - strength * pixels * grad Q(D),

    so that ``strength`` is what one pixel is moved by a loss of slope 1 there, whatever the size of
    the picture. It goes under any method and any sampler, GDP's own too; losses compose by wrapping
    again. One network call, and no derivative of the network.

    Args:
        denoiser: D.
        loss: Q, (batch, channels, *space) -> (batch,).
        strength: 0 or more.
        below: Noise level sigma / alpha under which D is moved. Above it D is a blur, whose nearest
            colour, say, is not that of what will be drawn.
    """

    def __init__(
        self, denoiser: Denoiser, loss: Loss, strength: float, below: float = math.inf
    ) -> None:
        super().__init__()
        if not strength >= 0:
            raise InputError(f"The strength of a preference is not below zero, got {strength}.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.loss, self.strength, self.below = loss, strength, below

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0: Tensor = self.denoiser(x_t, t, **condition).mean
        if float(self.process.noise_level(t).max()) > self.below:
            return Posterior(x0)
        with torch.enable_grad():
            point = x0.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.loss(point).sum(), point)
        return Posterior(x0 - self.strength * x0[0].numel() * slope)
