r"""One-step solvers of the probability-flow ODE in the noise level (Karras et al. 2022).

With u = x / alpha and k = sigma / alpha the ODE is   du/dk = (u - x_0(x)) / k.
Euler here is DDIM with eta = 0, by algebra; Heun corrects it with a second call and is of order 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.sampling.loop import Condition, History


def _slope(denoiser: Denoiser, u: Tensor, t: Tensor, condition: Condition) -> Tensor:
    alpha, level = denoiser.process.alpha(t), denoiser.process.noise_level(t)
    x0: Tensor = denoiser(expand(alpha, u) * u, t, **condition).mean
    return (u - x0) / expand(level, u)


@dataclass(frozen=True)
class Euler:
    """Order 1, one call a step."""

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        process = denoiser.process
        u = x_t / expand(process.alpha(t), x_t)
        u = u + expand(process.noise_level(s) - process.noise_level(t), u) * _slope(denoiser, u, t, condition)
        return expand(process.alpha(s), u) * u, ()


@dataclass(frozen=True)
class Heun:
    """Order 2, two calls a step; the last step, onto sigma = 0, is Euler's."""

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        process = denoiser.process
        u = x_t / expand(process.alpha(t), x_t)
        stride = expand(process.noise_level(s) - process.noise_level(t), u)
        slope = _slope(denoiser, u, t, condition)
        ahead = u + stride * slope
        if float(process.sigma(s)) > 0:
            ahead = u + stride * 0.5 * (slope + _slope(denoiser, ahead, s, condition))
        return expand(process.alpha(s), u) * ahead, ()
