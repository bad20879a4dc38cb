r"""Diffusion posterior sampling, DPS (Chung et al. 2023): any measurement y = h(x_0) + noise with a gradient, linear or not.

    score(x_t | y) = score(x_t) - grad |y - h(D)|^2 / (2 s^2),     so by Tweedie   D + V J_h* (y - h(D)) / s^2.

The likelihood is taken at the mean D, as if x_0 given x_t were certain; s is then no longer the noise of y alone. The paper's step on x_s,
zeta / |y - h(D)|, is tuned for 1000 steps of DDPM. Here s^2 is the residual's own mean square, which holds what D misses and the noise
together, so that one step of 1 serves all noise levels, samplers and numbers of steps. With a fixed s the method is the paper's derivation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand, mean_per_sample
from unfog.physics.measurement import Measurement, pullback


class DPS(Denoiser):
    """One network call and one product with its Jacobian."""

    def __init__(
        self, denoiser: Denoiser, operator: Measurement, measurement: Tensor, step: float = 1.0, variance: float | None = None
    ) -> None:
        """``variance`` s^2, or the mean square of the residual, sample by sample."""
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.step, self.variance = operator, measurement, step, variance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        residual = self.measurement - self.operator(x0)
        tiny = torch.finfo(x0.dtype).tiny
        size = mean_per_sample(residual**2).clamp(min=tiny) if self.variance is None else torch.tensor(self.variance)
        return Posterior(x0 + expand(self.step / size, x0) * covariance(pullback(self.operator, x0, residual)))
