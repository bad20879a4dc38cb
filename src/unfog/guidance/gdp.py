r"""Generative diffusion prior, GDP (Fei et al. 2023), blind: y = f x + m with f and m unknown, estimated while sampling.

The mean of a DDPM step is shifted down the gradient of the misfit |y - f p - m|^2, with no factor of the step's variance and without
differentiating the network. As an estimate of x_0 that is

    D + strength (y - f p - m) / f,     p = D (the x_0 variant)  or  p = x_t / alpha (the x_t variant),

the gradient in units of its curvature f^2, where the paper has a strength to tune for each task. The paper descends on f and m too; here
they go a share ``rate`` r^2 towards the line of least squares through (D, y), r the correlation of the two: unbiased where D is a posterior
mean, of no weight where D says nothing of y, and with no step size. It takes a prior whose mean is not flat: from the scale of the noise
alone f is not found. The x_t variant takes the noise of x_t for misfit, and f comes out too large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.exposure import Exposure
from unfog.sampling.loop import Condition, History

Point = Callable[[Tensor, Tensor, Tensor], Tensor]  # (D, x_t, alpha) to the point of the gradient


def at_estimate(x0: Tensor, x_t: Tensor, alpha: Tensor) -> Tensor:
    """The x_0 variant."""
    return x0


def at_state(x0: Tensor, x_t: Tensor, alpha: Tensor) -> Tensor:
    """The x_t variant."""
    return x_t / alpha


@dataclass(frozen=True)
class GDP:
    """A sampler for a prior's own denoiser: one network call a step. The last exposure is ``Exposure.fitted`` to the sample."""

    measurement: Tensor
    start: Exposure
    point: Point = at_estimate
    strength: float = 0.8
    rate: float = 0.6

    def __post_init__(self) -> None:
        if not (0 < self.strength <= 1 and 0 <= self.rate <= 1):
            raise InputError(f"GDP's strength and rate are shares up to 1, got {self.strength} and {self.rate}.")

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        (now,) = history or (self.start,)
        x0, bridge = denoiser(x_t, t, **condition).mean, Bridge.of(denoiser.process, t, s)
        line = Exposure.fitted(x0, self.measurement)
        deviations = [v.flatten(1).std(1) for v in (x0, self.measurement)]
        rate = self.rate * (line.factor * deviations[0] / deviations[1]) ** 2
        now = Exposure(now.factor + rate * (line.factor - now.factor), now.offset + rate * (line.offset - now.offset))
        misfit = self.measurement - now(self.point(x0, x_t, expand(bridge.alpha_t, x_t)))
        guided = x0 + self.strength * misfit / expand(now.factor, x_t)
        mean = expand(bridge.x0_gain, x_t) * guided + expand(bridge.xt_gain, x_t) * x_t
        return mean + expand(bridge.small.sqrt(), x_t) * normal_like(x_t, randomness), (now,)
