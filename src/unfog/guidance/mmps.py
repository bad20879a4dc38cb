r"""Moment-matching posterior sampling (Rozet et al. 2024): a linear measurement y = A x_0 + N(0, sigma_y^2).

By Tweedie's second formula the posterior covariance of x_0 is V = (sigma_t^2 / alpha_t) J, J the denoiser's Jacobian. Taking
p(x_0 | x_t) as Gaussian with that covariance,

    E[x_0 | x_t, y] = D + V A* (A V A* + sigma_y^2)^{-1} (y - A D),

solved by a few conjugate-gradient iterations, each one vector-Jacobian product. Exact when the prior is Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.physics.operators import Operator

LEAST_COSINE = 0.05  # between a direction and its image under the covariance


class MMPS(Denoiser):
    """The denoiser of x_0 given x_t and the measurement: one network call, ``iterations`` products with its Jacobian."""

    def __init__(self, denoiser: Denoiser, operator: Operator, measurement: Tensor, sigma: float, iterations: int = 4) -> None:
        """``measurement`` as the operator gives it for a batch; ``sigma`` > 0 on the same scale."""
        super().__init__()
        if not sigma > 0:
            raise InputError("MMPS needs a measurement noise above zero; give a small one.")
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma, self.iterations = operator, measurement, sigma, iterations

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        alpha, sigma = self.scales(t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            x0 = self.denoiser(x, t, **condition).mean
        gain = expand(sigma**2 / alpha, x_t)

        def covariance_times(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(x0, x, v, retain_graph=True)
            return gain * product

        residual = self.measurement - self.operator(x0.detach())
        return Posterior(x0.detach() + self._correction(covariance_times, residual))

    def _correction(self, covariance_times: Callable[[Tensor], Tensor], residual: Tensor) -> Tensor:
        """V A* w, with (A V A* + sigma_y^2) w = residual by conjugate gradients, per sample.

        w is a sum of search directions p, and V A* p is at hand from each iteration: w itself is never formed.
        """
        direction, power = residual, sum_per_sample(residual**2)
        total, going = torch.zeros_like(self.operator.adjoint(residual)), torch.ones_like(power, dtype=torch.bool)
        tiny = torch.finfo(power.dtype).tiny
        for _ in range(self.iterations):
            image = covariance_times(self.operator.adjoint(direction))
            seen, size = self.operator(image), sum_per_sample(direction**2)
            gained = sum_per_sample(direction * seen)
            # A network's Jacobian is only nearly symmetric and positive. Where it turns a direction by almost a right angle or more,
            # the step would be large and wrong: that sample keeps what it has.
            going = going & (gained > LEAST_COSINE * (size * sum_per_sample(seen**2)).sqrt())
            step = torch.where(going, power / (gained + self.sigma**2 * size).clamp(min=tiny), 0.0)
            total = total + expand(step, image) * image
            residual = residual - expand(step, residual) * (seen + self.sigma**2 * direction)
            before, power = power, sum_per_sample(residual**2)
            direction = residual + expand(power / before.clamp(min=tiny), residual) * direction
        return total
