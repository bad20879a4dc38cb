r"""Denoising: the exact posterior of x_0 given a noisy copy of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior, Product
from unfog.core.shapes import Number, expand
from unfog.errors import InputError


class DirectMeasurement(Denoiser):
    """The denoiser of x_0 given x_t and a direct measurement y = x_0 + N(0, sigma_y^2): exact, one
    network call.

    x_t / alpha and y are two looks at x_0 with independent noise, k = sigma_t / alpha_t and
    sigma_y. Weighted by their precisions they are one look with less noise,

        1 / k_c^2 = 1 / k^2 + 1 / sigma_y^2,     u_c = k_c^2 (x_t / (alpha k^2) + y / sigma_y^2),

    so E[x_0 | x_t, y] is the denoiser itself at the time whose noise level is k_c.

    Args:
        denoiser: D, the prior's.
        measurement: y, (batch, channels, *space).
        sigma: sigma_y, above 0; or one for each of the batch, (batch,).
    """

    def __init__(self, denoiser: Denoiser, measurement: Tensor, sigma: Number) -> None:
        super().__init__()
        if not bool((torch.as_tensor(sigma) > 0).all()):
            raise InputError("Denoising needs a noise level above zero.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.measurement, self.sigma = measurement, sigma

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        posterior: Posterior = self.denoiser(*self._together(x_t, t), **condition)
        return posterior

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        return self.denoiser.with_covariance(*self._together(x_t, t), **condition)

    def _together(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x_t and y combined: alpha_c u_c, and the time whose noise level is k_c."""
        alpha, level = self.process.alpha(t), self.process.noise_level(t)
        share = self.sigma**2 / (self.sigma**2 + level**2)  # the weight of x_t
        u = expand(share / alpha, x_t) * x_t + expand(1 - share, x_t) * self.measurement
        time = self.process.t_of_noise_level(level * share.sqrt())
        return expand(self.process.alpha(time), x_t) * u, time
