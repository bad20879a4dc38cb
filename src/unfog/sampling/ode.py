r"""One-step solvers of the probability-flow ODE in the noise level (Karras et al. 2022).

With u = x / alpha and k = sigma / alpha the ODE is   du/dk = (u - x_0(x)) / k.
Euler here is DDIM with eta = 0, by algebra; Heun corrects it with a second call and is of order 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Process
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.sampling.loop import Condition, History


def _slope(denoiser: Denoiser, u: Tensor, t: Tensor, condition: Condition) -> Tensor:
    alpha, level = denoiser.process.alpha(t), denoiser.process.noise_level(t)
    x0: Tensor = denoiser(expand(alpha, u) * u, t, **condition).mean
    return (u - x0) / expand(level, u)


def straight(process: Process, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x_s on the line from x_t through x_0, that is Euler's step, written so that alpha_t may be
    0.
    """
    ratio = process.sigma(s) / process.sigma(t)
    return expand(ratio, x_t) * x_t + expand(process.alpha(s) - ratio * process.alpha(t), x_t) * x0


def midpoint(
    denoiser: Denoiser, x_t: Tensor, t: Tensor, between: Tensor, s: Tensor, condition: Condition
) -> Tensor:
    """x_s along the line from x_t through the x_0 that is seen at ``between``: order 2, two calls;
    times scalar or (batch,).

    The exponential midpoint method (DPM-Solver-2 of Lu et al. 2022), which also starts from noise
    alone and ends on sigma = 0.
    """
    process = denoiser.process
    half = straight(process, x_t, denoiser(x_t, t, **condition).mean, t, between)
    return straight(process, x_t, denoiser(half, between, **condition).mean, t, s)


@dataclass(frozen=True)
class Euler:
    """Order 1, one call a step."""

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
        return straight(denoiser.process, x_t, denoiser(x_t, t, **condition).mean, t, s), ()


@dataclass(frozen=True)
class Heun:
    """Order 2, two calls a step; a step from noise alone or onto sigma = 0 is Euler's."""

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
        process = denoiser.process
        if float(process.alpha(t)) == 0 or float(process.sigma(s)) == 0:
            return Euler().step(denoiser, x_t, t, s, history, randomness, condition)
        u = x_t / expand(process.alpha(t), x_t)
        stride = expand(process.noise_level(s) - process.noise_level(t), u)
        slope = _slope(denoiser, u, t, condition)
        ahead = u + stride * slope
        ahead = u + stride * 0.5 * (slope + _slope(denoiser, ahead, s, condition))
        return expand(process.alpha(s), u) * ahead, ()
