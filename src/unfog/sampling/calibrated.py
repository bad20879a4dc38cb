r"""Calibrated draws: ancestral sampling that keeps the spread of the posterior at few steps.

An ancestral step takes x_0 for its mean, and so drops (d mean(x_s) / d x_0)^2 Cov(x_0 | x_t). It is put back from the denoiser's Jacobian:
with u = x / alpha, k = sigma / alpha and r = k_s^2 / k_t^2,

    u_s = D + r (u_t - D) + noise sqrt(r (k_t^2 - k_s^2) + (1 - r)^2 k_t^2 rho),     rho: mean of diag dD/du_t in a channel,

for by Tweedie's second formula Cov(x_0 | x_t) = k_t^2 dD/du_t. The last step, onto sigma = 0, has its noise too. rho is one Rademacher
probe of the Jacobian per sample (Hutchinson 1990): a network call and a vector-Jacobian product a step. Exact in any number of steps where
x_0 given x_t is Gaussian and alike within each channel; while several modes are in play it is not, and 9 steps do better than 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.sampling.grids import require_signal
from unfog.sampling.loop import Condition, History


@dataclass(frozen=True)
class Calibrated:
    """For posterior draws at 6 to 9 steps."""

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        require_signal(denoiser.process, t, "The sampler of calibrated draws")
        bridge = Bridge.of(denoiser.process, t, s)
        probe = normal_like(x_t, randomness).sign()
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            x0 = denoiser(x, t, **condition).mean
            (product,) = torch.autograd.grad(x0, x, probe)
        x0 = x0.detach()
        jacobian = (probe * product).reshape(*x_t.shape[:2], -1).mean(2).clamp(min=0)
        spread = jacobian.view(*jacobian.shape, *(1,) * (x_t.ndim - 2)) * expand(bridge.sigma_t**2 / bridge.alpha_t, x_t)
        variance = expand(bridge.small, x_t) + expand(bridge.x0_gain**2, x_t) * spread
        mean = expand(bridge.x0_gain, x_t) * x0 + expand(bridge.xt_gain, x_t) * x_t
        return mean + variance.sqrt() * normal_like(x_t, randomness), ()
