r"""Reconstruction guidance (Ho et al. 2022), by which video diffusion is extended in time."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.linear import LinearPosterior


class ReconstructionGuidance(LinearPosterior):
    """Reconstruction guidance (Ho et al. 2022, arXiv:2204.03458, eq. 7): the estimate moves down
    the gradient of its distance from what was measured,

        D' = D - (w alpha / 2) grad |y - A D|^2 = D + w (alpha^2 / sigma^2) V A* (y - A D),

    and what was measured is taken from y, as the paper replaces the frames that are known:
    D' + A+ (y - A D'). The paper's w is above 1. For measurements of little noise; its weight is
    right for none, see `unfog.posterior.mmps.MMPS`. One network call and one product with its
    Jacobian.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, 0 or more; of no account here.
        weight: w, above 0.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float,
        weight: float = 2.0,
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        if not weight > 0:
            raise InputError(f"The weight of reconstruction guidance is above 0, not {weight}.")
        self.weight = weight

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        alpha, sigma = self.scales(t)
        pull = covariance(self.operator.adjoint(self.residual(x0)))
        guided = x0 + expand(self.weight * alpha**2 / sigma**2, x0) * pull
        return Posterior(guided + self.operator.pseudo_inverse(self.residual(guided)))
