r"""What posterior methods share: a prior's denoiser D and a measurement y = A x_0 + N(0,
sigma_y^2).

Each gives an estimate of E[x_0 | x_t, y] as D plus a correction made of the residual y - A D.
Methods that differentiate through the network multiply by V = Cov(x_0 | x_t) = (sigma_t^2 /
alpha_t) J, J the denoiser's Jacobian: the guided score of their paper, by Tweedie. Throughout k =
sigma_t / alpha_t is the noise level of x_t.
"""

from __future__ import annotations

import math

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.physics.linear import Operator


class LinearPosterior(Denoiser):
    """A denoiser of x_0 given x_t and a linear measurement: the base of most posterior methods.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, the deviation of the measurement's noise, 0 or more, on its scale.

    Raises:
        InputError: for a sigma that is negative or not finite.
    """

    def __init__(
        self, denoiser: Denoiser, operator: Operator, measurement: Tensor, sigma: float
    ) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma = operator, measurement, require_noise(sigma)

    def residual(self, x0: Tensor) -> Tensor:
        """y - A x_0."""
        return self.measurement - self.operator(x0)


def require_noise(sigma: float) -> float:
    """``sigma`` itself, or ``InputError`` where it is negative or not finite."""
    if not 0 <= sigma < math.inf:
        raise InputError(
            f"The noise of a measurement is a finite number, not below zero, got {sigma}."
        )
    return sigma


def expected_spread(level: Tensor, prior: float) -> Tensor:
    """r_t^2, the variance of x_0 given x_t were the prior white with variance ``prior``: k^2 v /
    (k^2 + v), of ``level`` k = sigma / alpha.
    """
    return level**2 * prior / (level**2 + prior)
