r"""Diffusion posterior sampling, DPS (Chung et al. 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand, sum_per_sample
from unfog.physics.measurement import Measurement, pullback
from unfog.posterior.linear import require_noise


class DPS(Denoiser):
    """Diffusion posterior sampling (Chung et al. 2023), for any measurement y = h(x_0) + noise
    with a gradient, linear or not:

        score(x_t | y) = score(x_t) - grad |y - h(D)|^2 / (2 s^2),   so by Tweedie   D + V g / s^2,
        g = J_h* (y - h(D)).

    The likelihood is taken at the mean D, as if x_0 given x_t were certain. The paper's step on
    x_s, zeta / |y - h(D)|, stands for the s that this asks for, and is tuned for 1000 steps of
    DDPM. Here s^2 is the variance of y - h(D) along itself, sigma_y^2 + <g, V g> / |y - h(D)|^2,
    which costs nothing more and serves all noise levels, samplers and numbers of steps; where h is
    linear that is one iteration of MMPS. With a fixed s the method is the paper's derivation. One
    network call and one product with its Jacobian.

    Args:
        denoiser: D, the prior's.
        operator: h.
        measurement: y, shaped as h(x_0) of a batch.
        sigma: sigma_y, 0 or more.
        step: multiplies the guidance.
        variance: s^2 if it is to be fixed; None for the above.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Measurement,
        measurement: Tensor,
        sigma: float,
        step: float = 1.0,
        variance: float | None = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma = operator, measurement, require_noise(sigma)
        self.step, self.variance = step, variance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        # The guidance V g.
        residual = self.measurement - self.operator(x0)
        gradient = pullback(self.operator, x0, residual)
        guidance = covariance(gradient)
        if self.variance is not None:
            return Posterior(x0 + self.step / self.variance * guidance)
        # s^2, the variance of the residual along itself.
        tiny = torch.finfo(x0.dtype).tiny
        along = sum_per_sample(gradient * guidance).clamp(min=0) / sum_per_sample(
            residual**2
        ).clamp(min=tiny)
        return Posterior(
            x0 + expand(self.step / (self.sigma**2 + along).clamp(min=tiny), x0) * guidance
        )
