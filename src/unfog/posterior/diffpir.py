r"""Plug-and-play restoration, DiffPIR (Zhu et al. 2023)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.linear import LinearPosterior


class DiffPIR(LinearPosterior):
    """DiffPIR (Zhu et al. 2023): the denoised estimate, then a proximal step of the
    measurement,

        argmin_x |y - A x|^2 + w |x - D|^2 = D + (A* A + w)^{-1} A* (y - A D),
        w = lambda sigma_y^2 / k^2,  k = sigma_t / alpha_t:

    the posterior mean if x_0 given x_t were N(D, k^2 / lambda). The paper's own sampler is DDIM
    with a share zeta of fresh noise. One network call, and no product with its Jacobian.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, 0 or more.
        strength: lambda, above 0; the paper tunes it from 1 to 25 for each task.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float,
        strength: float = 1.0,
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        if not strength > 0:
            raise InputError(f"The strength of DiffPIR's prior is above zero, got {strength}.")
        self.strength = strength

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0: Tensor = self.denoiser(x_t, t, **condition).mean
        weight = self.strength * self.sigma**2 / self.process.noise_level(t) ** 2
        return Posterior(x0 + self.operator.tikhonov(self.residual(x0), weight))
