r"""Moment-matching posterior sampling (Rozet et al. 2024): a linear measurement y = A x_0 + N(0,
sigma_y^2).

By Tweedie's second formula the posterior covariance of x_0 is V = (sigma_t^2 / alpha_t) J, J the
denoiser's Jacobian. Taking p(x_0 | x_t) as Gaussian with that covariance,

    E[x_0 | x_t, y] = D + V A* (A V A* + sigma_y^2)^{-1} (y - A D),
    Cov = V - V A* (A V A* + sigma_y^2)^{-1} A V,

solved by some conjugate-gradient iterations, each one vector-Jacobian product, until what is left
of y - A D is small. Exact when the prior is Gaussian.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior, Product
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.physics.linear import Operator

LEAST_COSINE = 0.05  # between a direction and its image under the covariance


class MMPS(Denoiser):
    """The denoiser of x_0 given x_t and the measurement: one network call, at most ``iterations``
    products with its Jacobian.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float,
        iterations: int = 8,
        tolerance: float = 0.03,
    ) -> None:
        """``measurement`` as the operator gives it for a batch; ``sigma`` > 0 on the same scale;
        ``tolerance`` is a share of y - A D.
        """
        super().__init__()
        if not sigma > 0:
            raise InputError("MMPS needs a measurement noise above zero; give a small one.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma = operator, measurement, sigma
        self.iterations, self.tolerance = iterations, tolerance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        return Posterior(self.with_covariance(x_t, t, **condition)[0])

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        """The covariance costs 1 + ``iterations`` products with the prior's for each of its own."""
        x0, prior = self.denoiser.with_covariance(x_t, t, **condition)

        def covariance(v: Tensor) -> Tensor:
            image = prior(v)
            return image - self._correction(prior, self.operator(image))

        return x0 + self._correction(prior, self.measurement - self.operator(x0)), covariance

    def _correction(self, prior: Product, residual: Tensor) -> Tensor:
        """V A* w, with (A V A* + sigma_y^2) w = residual by conjugate gradients, per sample.

        w is a sum of search directions p, and V A* p is at hand from each iteration: w itself is
        never formed.
        """
        direction, power = residual, sum_per_sample(residual**2)
        total, going = (
            torch.zeros_like(self.operator.adjoint(residual)),
            torch.ones_like(power, dtype=torch.bool),
        )
        tiny, enough = torch.finfo(power.dtype).tiny, self.tolerance**2 * power
        for _ in range(self.iterations):
            going = going & (power > enough)
            if not bool(going.any()):
                break
            image = prior(self.operator.adjoint(direction))
            seen, size = self.operator(image), sum_per_sample(direction**2)
            gained = sum_per_sample(direction * seen)
            # A network's Jacobian is only nearly symmetric and positive. Where it turns a direction
            # by almost a right angle or more, the step would be large and wrong: that sample keeps
            # what it has.
            going = going & (gained > LEAST_COSINE * (size * sum_per_sample(seen**2)).sqrt())
            step = torch.where(going, power / (gained + self.sigma**2 * size).clamp(min=tiny), 0.0)
            total = total + expand(step, image) * image
            residual = residual - expand(step, residual) * (seen + self.sigma**2 * direction)
            before, power = power, sum_per_sample(residual**2)
            direction = residual + expand(power / before.clamp(min=tiny), residual) * direction
        return total
