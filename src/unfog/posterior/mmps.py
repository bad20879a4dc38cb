r"""Moment-matching posterior sampling, MMPS (Rozet et al. 2024)."""

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
    """Moment-matching posterior sampling (Rozet et al. 2024): the denoiser of x_0 given x_t and a
    linear measurement y = A x_0 + N(0, sigma_y^2).

    By Tweedie's second formula the posterior covariance of x_0 is V = (sigma_t^2 / alpha_t) J, J
    the denoiser's Jacobian. Taking p(x_0 | x_t) as Gaussian with that covariance,

        E[x_0 | x_t, y] = D + V A* (A V A* + sigma_y^2)^{-1} (y - A D),
        Cov = V - V A* (A V A* + sigma_y^2)^{-1} A V,

    solved by conjugate gradients until what is left of y - A D is small. Exact when the prior is
    Gaussian. One network call, and one product with its Jacobian an iteration.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, above 0.
        iterations: of conjugate gradients at most.
        tolerance: share of |y - A D| that may be left.
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
        super().__init__()
        if not sigma > 0:
            raise InputError("MMPS needs a measurement noise above zero; give a small one.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma = operator, measurement, sigma
        self.iterations, self.tolerance = iterations, tolerance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        return Posterior(self.with_covariance(x_t, t, **condition)[0])

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        """E[x_0 | x_t, y] and v -> Cov v, whose every product costs 1 + ``iterations`` of the
        prior's.
        """
        x0, prior = self.denoiser.with_covariance(x_t, t, **condition)

        def covariance(v: Tensor) -> Tensor:
            image = prior(v)
            return image - self._correction(prior, self.operator(image))

        return x0 + self._correction(prior, self.measurement - self.operator(x0)), covariance

    def _correction(self, prior: Product, residual: Tensor) -> Tensor:
        """V A* w, with (A V A* + sigma_y^2) w = residual by conjugate gradients, per sample. w is
        a sum of search directions p, and V A* p is at hand from each iteration: w itself is never
        formed.
        """
        direction, power = residual, sum_per_sample(residual**2)
        total, active = (
            torch.zeros_like(self.operator.adjoint(residual)),
            torch.ones_like(power, dtype=torch.bool),
        )
        tiny, enough = torch.finfo(power.dtype).tiny, self.tolerance**2 * power
        for _ in range(self.iterations):
            active = active & (power > enough)
            if not bool(active.any()):
                break
            # (A V A*) p, p the search direction.
            image = prior(self.operator.adjoint(direction))
            image_measured, size = self.operator(image), sum_per_sample(direction**2)
            curvature = sum_per_sample(direction * image_measured)
            # A network's Jacobian is only nearly symmetric and positive. Where it turns a direction
            # by almost a right angle or more, the step would be large and wrong: that sample keeps
            # what it has.
            active = active & (
                curvature > LEAST_COSINE * (size * sum_per_sample(image_measured**2)).sqrt()
            )
            # Step along p, then the next, conjugate direction.
            step = torch.where(
                active, power / (curvature + self.sigma**2 * size).clamp(min=tiny), 0.0
            )
            total = total + expand(step, image) * image
            residual = residual - expand(step, residual) * (
                image_measured + self.sigma**2 * direction
            )
            last_power, power = power, sum_per_sample(residual**2)
            direction = residual + expand(power / last_power.clamp(min=tiny), residual) * direction
        return total
