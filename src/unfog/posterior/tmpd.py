r"""Tweedie moment projected diffusions, TMPD (Boys et al. 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.linear import LinearPosterior


class TMPD(LinearPosterior):
    """Tweedie moment projected diffusions (Boys et al. 2023). p(x_0 | x_t) is taken as N(D, V) as
    in MMPS, but A V A* in the likelihood is replaced by the diagonal of its row sums, one more
    product:

        D + V A* [ (y - A D) / (A V A* 1 + sigma_y^2) ],     exact where A V A* is diagonal.

    Row sums below zero, of values that move against each other, are taken as zero. One network call
    and two products with its Jacobian.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, above 0.
    """

    def __init__(
        self, denoiser: Denoiser, operator: Operator, measurement: Tensor, sigma: float
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        if sigma == 0:
            raise InputError("TMPD needs a measurement noise above zero; give a small one.")

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        residual = self.residual(x0)
        # Row sums A V A* 1.
        sums = self.operator(covariance(self.operator.adjoint(torch.ones_like(residual))))
        return Posterior(
            x0 + covariance(self.operator.adjoint(residual / (sums.clamp(min=0) + self.sigma**2)))
        )
