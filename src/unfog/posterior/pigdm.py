r"""Pseudo-inverse guided diffusion, PiGDM (Song, Vahdat, Mardani & Kautz 2023)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand
from unfog.physics.linear import Operator
from unfog.posterior.linear import LinearPosterior, expected_spread


class PiGDM(LinearPosterior):
    """Pseudo-inverse guided diffusion (Song, Vahdat, Mardani & Kautz 2023). p(x_0 | x_t) is taken
    as N(D, r_t^2 I), whose likelihood is Gaussian in closed form:

        D + V A* (r_t^2 A A* + sigma_y^2)^{-1} (y - A D),
        r_t^2 = k^2 v / (k^2 + v),  k = sigma_t / alpha_t,

    right for a white prior of variance v, the paper's being 1. The paper adds the same guidance,
    weighted, inside a DDIM step. One network call and one product with its Jacobian.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, 0 or more.
        prior_variance: v.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float,
        prior_variance: float = 1.0,
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        self.prior_variance = prior_variance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        spread = expected_spread(self.process.noise_level(t), self.prior_variance)
        pull = self.operator.tikhonov(self.residual(x0), self.sigma**2 / spread)
        return Posterior(x0 + covariance(pull / expand(spread, x0)))
