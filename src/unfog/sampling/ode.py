r"""One-step solvers of the probability-flow ODE in the noise level (Karras et al. 2022): with u = x
/ alpha and k = sigma / alpha,

    du / dk = (u - x_0(x)) / k.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Process
from unfog.core.random import Randomness
from unfog.core.shapes import blend, plus
from unfog.sampling.loop import Condition, History


def _slope(denoiser: Denoiser, u: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """du / dk = (u - x_0) / k."""
    now = denoiser.process.at(t)
    x0: Tensor = denoiser(now.alpha * u, t, **condition).mean
    return (u - x0) * (now.alpha / now.sigma)


def straight(process: Process, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Euler's step of the ODE, x_s on the line from x_t through x_0, written so that alpha_t may
    be 0:

        x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) x_0.

    Args:
        process: the forward process.
        x_t: (batch, channels, *space).
        x0: estimate of x_0, likewise.
        t: time of x_t, a scalar or (batch,).
        s: time to arrive at, likewise.

    Returns:
        x_s, (batch, channels, *space).
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = process.scales(t), process.scales(s)
    ratio = sigma_s / sigma_t
    return blend(ratio, x_t, alpha_s - ratio * alpha_t, x0)


def midpoint(
    denoiser: Denoiser, x_t: Tensor, t: Tensor, between: Tensor, s: Tensor, condition: Condition
) -> Tensor:
    """The exponential midpoint method, DPM-Solver-2 of Lu et al. 2022: x_s along the line from x_t
    through the x_0 that is seen at ``between``. Of order 2, two network calls; it also starts from
    noise alone and ends on sigma = 0.

    Args:
        denoiser: the model.
        x_t: (batch, channels, *space).
        t: time of x_t, a scalar or (batch,).
        between: a time between t and s, likewise.
        s: time to arrive at, likewise.
        condition: of the denoiser.

    Returns:
        x_s, (batch, channels, *space).
    """
    process = denoiser.process
    half = straight(process, x_t, denoiser(x_t, t, **condition).mean, t, between)
    return straight(process, x_t, denoiser(half, between, **condition).mean, t, s)


@dataclass(frozen=True)
class Euler:
    """Euler's method (``straight``), of order 1: one network call a step. It is DDIM with eta = 0,
    by algebra.
    """

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
    """Heun's method (Karras et al. 2022, algorithm 1), of order 2: Euler's step, then again with
    the mean of the slopes at its two ends,

        u_s = u_t + (k_s - k_t) (slope(u_t, t) + slope(u_s of Euler, s)) / 2.

    Two network calls a step; a step from noise alone or onto sigma = 0 is Euler's.
    """

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
        now, then = denoiser.process.at(t), denoiser.process.at(s)
        if now.alpha == 0 or then.sigma == 0:
            return Euler().step(denoiser, x_t, t, s, history, randomness, condition)
        u = x_t / now.alpha
        stride = then.sigma / then.alpha - now.sigma / now.alpha
        # Euler's step, then the trapezoidal one.
        slope = _slope(denoiser, u, t, condition)
        ahead = plus(u, stride, slope)
        ahead = plus(u, 0.5 * stride, slope + _slope(denoiser, ahead, s, condition))
        return then.alpha * ahead, ()
