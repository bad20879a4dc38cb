r"""Generative diffusion prior, GDP (Fei et al. 2023), for known measurements and for unknown
exposures.

Combined degradations are composed operators, ``Grey() @ Blur(kernel)``; further losses of the paper
(``guidance.preferences``) and tiles for images of any size (``core.tiles``) wrap the prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.physics.exposure import Exposure, Fitter, line
from unfog.physics.linear import Operator
from unfog.physics.operators import Identity
from unfog.physics.saturation import saturated_line
from unfog.posterior.linear import LinearPosterior
from unfog.sampling.loop import Condition, History

Point = Callable[[Tensor, Tensor, Tensor], Tensor]  # (D, x_t, alpha) to the point of the gradient


def at_estimate(x0: Tensor, x_t: Tensor, alpha: Tensor) -> Tensor:
    """The x_0 variant of GDP: the gradient is taken at p = D.

    Args:
        x0: D, (batch, channels, *space).
        x_t: likewise.
        alpha: alpha_t, of a shape that broadcasts to them.

    Returns:
        (batch, channels, *space).
    """
    return x0


def at_state(x0: Tensor, x_t: Tensor, alpha: Tensor) -> Tensor:
    """The x_t variant of GDP: the gradient is taken at p = x_t / alpha. It takes the noise of x_t
    for misfit, and f of a blind exposure comes out too large.

    Args:
        x0: D, (batch, channels, *space).
        x_t: likewise.
        alpha: alpha_t, of a shape that broadcasts to them.

    Returns:
        (batch, channels, *space).
    """
    return x_t / alpha


class GDP(LinearPosterior):
    """GDP for a known linear measurement (Fei et al. 2023). The mean of a DDPM step is shifted
    down the gradient of the misfit |y - A p|^2, with no factor of the step's variance and without
    differentiating the network. As an estimate of x_0, with the gradient g = A* (y - A p) in units
    of its curvature, that is

        D + strength g |g|^2 / |A g|^2,
        p = D (the x_0 variant)  or  p = x_t / alpha (the x_t variant),

    where the paper has a strength to tune for each task. It takes the noise of y for signal. One
    network call.

    Args:
        denoiser: D, the prior's.
        operator: A.
        measurement: y, as the operator gives it for a batch.
        sigma: not used.
        strength: above 0 and at most 1.
        point: p, ``at_estimate`` or ``at_state``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float = 0.0,
        strength: float = 0.8,
        point: Point = at_estimate,
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        self.strength, self.point = _share(strength), point

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0: Tensor = self.denoiser(x_t, t, **condition).mean
        gradient = self.operator.adjoint(
            self.residual(self.point(x0, x_t, expand(self.process.alpha(t), x_t)))
        )
        power, curvature = sum_per_sample(gradient**2), sum_per_sample(self.operator(gradient) ** 2)
        step = self.strength * power / curvature.clamp(min=torch.finfo(x0.dtype).tiny)
        return Posterior(x0 + expand(step, x0) * gradient)


@dataclass(frozen=True)
class Shot:
    """One exposure of a scene for ``BlindGDP``.

    Args:
        measurement: y, shaped as what A makes of the scene.
        start: a first guess of f and m.
        fit: how f and m are fitted to A D and y.
        low: y was clipped to this from below.
        high: y was clipped to this from above.
    """

    measurement: Tensor
    start: Exposure
    fit: Fitter = line
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def saturated(cls, measurement: Tensor, low: float, high: float) -> Shot:
        """A shot that was clipped to [low, high], fitted by maximum likelihood
        (``physics.saturation``).

        Args:
            measurement: y.
            low: lower end.
            high: upper end.

        Returns:
            The shot.
        """
        return cls(
            measurement, Exposure.stretching(measurement), saturated_line(low, high), low, high
        )

    def __getitem__(self, rows: Sequence[int]) -> Shot:
        """The shot of some pictures of the batch."""
        return replace(self, measurement=self.measurement[rows], start=self.start[rows])

    def fits(self, predicted: Tensor) -> Tensor:
        """True where the shot is saturated and the prediction lies beyond that end too: there is
        no misfit.
        """
        below = (self.measurement <= self.low) & (predicted <= self.low)
        return below | ((self.measurement >= self.high) & (predicted >= self.high))


@dataclass(frozen=True)
class BlindGDP:
    """Blind GDP (Fei et al. 2023), a sampler for a prior's own denoiser: exposures y_i = f_i A x +
    m_i with f_i and m_i unknown, one for low light and several for HDR, estimated while sampling.
    With D replaced by

        D + strength A+ [sum_i f_i w_i (y_i - f_i A p - m_i) / sum_i f_i^2 w_i],

    it takes a step of DDPM; w_i = 0 where y_i is saturated and f_i A p + m_i is beyond that end
    too, else 1. One network call a step. The history is the exposures; the last are
    ``Exposure.fitted`` to A times the sample.

    The paper descends on f and m; here they go a share ``rate`` r^2 towards the fit of least
    squares through (A D, y) (of maximum likelihood where y saturates), r the correlation of the
    two: unbiased where D is a posterior mean, of no weight where D says nothing of y, and with no
    step size. It takes a prior whose mean is not flat: from the scale of the noise alone f is not
    found.

    Args:
        shots: the exposures, 1 or more.
        point: p, ``at_estimate`` or ``at_state``.
        strength: above 0 and at most 1.
        rate: share from 0 to 1.
        operator: A, what was done to the scene before it was exposed: holes
            (``physics.operators.Points``) or coarse pixels make a joint task.
    """

    shots: Sequence[Shot]
    point: Point = at_estimate
    strength: float = 0.8
    rate: float = 0.6
    operator: Operator = field(default_factory=Identity)

    def __post_init__(self) -> None:
        _share(self.strength)
        if not 0 <= self.rate <= 1:
            raise InputError(
                f"The rate of GDP's estimates is a share from 0 to 1, got {self.rate}."
            )
        if not self.shots:
            raise InputError("GDP needs at least one exposure.")

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        history: History,
        randomness: Randomness,
        condition: Condition,
    ) -> tuple[Tensor, History]:
        x0, bridge = denoiser(x_t, t, **condition).mean, Bridge.of(denoiser.process, t, s)
        # f and m, from D.
        exposures = [
            self._estimate(shot, x0, previous)
            for shot, previous in zip(
                self.shots, history or [s.start for s in self.shots], strict=True
            )
        ]
        # The guided D, then DDPM's step.
        guided = x0 + self.strength * self._correction(
            exposures, self.point(x0, x_t, expand(bridge.alpha_t, x_t))
        )
        mean = expand(bridge.x0_gain, x_t) * guided + expand(bridge.xt_gain, x_t) * x_t
        noise = expand(bridge.small.sqrt(), x_t) * normal_like(x_t, randomness)
        return mean + noise, tuple(exposures)

    def _estimate(self, shot: Shot, x0: Tensor, previous: Exposure) -> Exposure:
        """The shot's exposure, from the previous one a share ``rate`` r^2 towards the fit at D."""
        fit = shot.fit(self.operator(x0), shot.measurement)
        return previous.towards(fit.exposure, self.rate * fit.share)

    def _correction(self, exposures: Sequence[Exposure], point: Tensor) -> Tensor:
        """A+ of the least-squares correction of A ``point`` by all exposures, value by value; 0
        where it fits them.
        """
        image = self.operator(point)
        gradient, curvature = torch.zeros_like(image), torch.zeros_like(image)
        for shot, exposure in zip(self.shots, exposures, strict=True):
            predicted = exposure(image)
            factor = expand(exposure.factor, image) * ~shot.fits(predicted)
            gradient = gradient + factor * (shot.measurement - predicted)
            curvature = curvature + factor**2
        return self.operator.pseudo_inverse(
            gradient / curvature.clamp(min=torch.finfo(point.dtype).tiny)
        )


def _share(strength: float) -> float:
    if not 0 < strength <= 1:
        raise InputError(f"GDP's strength is a share above 0 and at most 1, got {strength}.")
    return strength
