r"""Posterior methods for linear measurements, on one that is not: through a decoder, say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior, Product
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.posterior.mmps import MMPS

Method = Callable[..., Denoiser]  # of the linear measurement at hand


class Jacobian(Operator):
    """The Jacobian of a measurement h at x: J v forwards, J* w backwards.

    Args:
        measurement: h, differentiable.
        x: Where, (batch, channels, *space).
    """

    def __init__(self, measurement: Measurement, x: Tensor) -> None:
        self.measurement = measurement
        with torch.enable_grad():
            self.x = x.detach().requires_grad_()
            self.y = measurement(self.x)
            # J v is the derivative in w of (J* w) . v, so that two backward passes give it.
            self.w = torch.zeros_like(self.y, requires_grad=True)
            (self.pulled,) = torch.autograd.grad(self.y, self.x, self.w, create_graph=True)

    @property
    def value(self) -> Tensor:
        """h(x)."""
        return self.y.detach()

    def __call__(self, x: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(self.pulled, self.w, x, retain_graph=True)
        return product

    def adjoint(self, y: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(self.y, self.x, y, retain_graph=True)
        return product


class Known(Denoiser):
    """A denoiser whose mean and covariance at one x_t are known already."""

    def __init__(self, denoiser: Denoiser, mean: Tensor, covariance: Product) -> None:
        super().__init__()
        self.process, self.mean, self.covariance = denoiser.process, mean, covariance

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        return Posterior(self.mean)

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        return self.mean, self.covariance


class Linearised(Denoiser):
    """The denoiser of x_0 given x_t and y = h(x_0) + N(0, sigma_y^2), by a method for linear
    measurements at each Gauss-Newton step: with J the Jacobian of h at x',

        h(x_0) ~ h(x') + J (x_0 - x'),   so   y' = y - h(x') + J x' = J x_0 + noise,

    and x' is the prior's mean first and the posterior's thereafter (Bell & Cathey 1993). Exact for
    a Gaussian prior and a linear h. The network is called once, and h and its Jacobian once a step
    and iteration of the method.

    Args:
        denoiser: The prior's.
        operator: h, differentiable.
        measurement: y, as h gives it for a batch.
        sigma: sigma_y, above 0.
        method: That for linear measurements; it may ask for A v and A* w alone, as MMPS and TMPD
            do.
        steps: Gauss-Newton steps.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Measurement,
        measurement: Tensor,
        sigma: float,
        method: Method = MMPS,
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement, self.sigma = operator, measurement, sigma
        self.method, self.steps = method, steps

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        mean: Tensor = self._linear(x_t, t, condition)(x_t, t, **condition).mean
        return Posterior(mean)

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        """E[x_0 | x_t, y] and v -> Cov v, by the last linearisation."""
        return self._linear(x_t, t, condition).with_covariance(x_t, t, **condition)

    def _linear(self, x_t: Tensor, t: Tensor, condition: Mapping[str, Any]) -> Denoiser:
        """The posterior of the measurement, linearised for the last time."""
        point, covariance = self.denoiser.with_covariance(x_t, t, **condition)
        known = Known(self.denoiser, point, covariance)
        linear = self._at(point, known)
        for _ in range(self.steps - 1):
            linear = self._at(linear(x_t, t, **condition).mean, known)
        return linear

    def _at(self, point: Tensor, known: Denoiser) -> Denoiser:
        """The posterior of the measurement linearised at a point."""
        jacobian = Jacobian(self.operator, point)
        shifted = self.measurement - jacobian.value + jacobian(point)
        return self.method(known, jacobian, shifted, self.sigma)
