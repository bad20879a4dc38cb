r"""Exponential multistep solvers of the probability-flow ODE: DPM-Solver++ (Lu et al. 2022), UniPC
(Zhao et al. 2023), DEIS (Zhang & Chen 2023) and exponential Adams.

The sampler most in use is DPM-Solver++(2M), here ``Multistep(2, midpoint)``. With lam = log(alpha /
sigma), D_t the denoised estimate at x_t, D_last that of the step before, h = lam_s - lam_t and r =
h_last / h, a step from t to s is two lines (Lu et al. 2022, algorithm 2; k-diffusion's
``sample_dpmpp_2m``), with D = D_t in the first step:

    D   = (1 + 1 / (2 r)) D_t - 1 / (2 r) D_last
    x_s = (sigma_s / sigma_t) x_t - alpha_s (e^{-h} - 1) D

The general implementation of this file takes the same steps:

    >>> import torch
    >>> from unfog.core.oracle import MixtureDenoiser
    >>> from unfog.core.process import VPCosine
    >>> from unfog.sampling.loop import trajectory
    >>> process, times = VPCosine(), torch.tensor([0.9, 0.7, 0.4, 0.3, 0.1], dtype=torch.float64)
    >>> alpha, sigma = process.alpha(times), process.sigma(times)
    >>> lam = torch.log(alpha / sigma)
    >>> start = torch.tensor([[1.0, -0.5, 0.2]], dtype=torch.float64)
    >>> denoiser = MixtureDenoiser(process, torch.ones(1), 0.5 * start, start**2)
    >>> path = trajectory(denoiser, start, times, Multistep(2, midpoint), randomness=[])
    >>> x = [state.x for state in path]
    >>> for i in range(4):  # from t = times[i] to s = times[i + 1]
    ...     D = D_t = denoiser(x[i], times[i]).mean
    ...     h = lam[i + 1] - lam[i]
    ...     if i > 0:
    ...         r = (lam[i] - lam[i - 1]) / h
    ...         D = (1 + 1 / (2 * r)) * D_t - 1 / (2 * r) * D_last
    ...     x_s = sigma[i + 1] / sigma[i] * x[i] - alpha[i + 1] * (torch.exp(-h) - 1) * D
    ...     torch.testing.assert_close(x_s, x[i + 1], rtol=1e-12, atol=1e-14)
    ...     D_last = D_t

In general, with D the denoised estimate at the share theta of the step, the exact solution is

    x_s = (sigma_s / sigma_t) x_t + alpha_s h int_0^1 e^{-h (1 - theta)} D(theta) dtheta.

D is replaced by the polynomial through the estimates D_j at the last few times, at theta_j =
(lam_j - lam_t) / h <= 0, so the integral is a sum of w_j D_j, whose weights give every power of
theta the integral it has (``_combine``):

    sum_j w_j theta_j^k = M_k,     M_k = h int_0^1 e^{-h (1 - theta)} theta^k dtheta.

Solved as it stands (``exact``) this is the exponential Adams method. The published solvers change
one moment; each of these changes is a ``Rule``. A step onto sigma = 0 gives D_t itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Instant
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import blend, plus
from unfog.sampling.loop import Condition, History
from unfog.sampling.moments import Rule, exact, midpoint, weights


@dataclass(frozen=True)
class Estimate:
    """What the polynomial goes through: an estimate (batch, channels, *space), of x_0 or of the
    noise, and its lam = log(alpha / sigma).
    """

    lam: float
    value: Tensor


def _combine(
    estimates: Sequence[Estimate], now: Instant, then: Instant, rate: float, rule: Rule
) -> Tensor:
    """sum_j w_j D_j for a step from one time to another, (batch, channels, *space)."""
    lams = tuple(point.lam - now.lam if len(estimates) > 1 else 0.0 for point in estimates)
    first, *others = weights(lams, then.lam - now.lam, rate, rule)
    total = first * estimates[0].value
    for weight, point in zip(others, estimates[1:], strict=True):
        total = plus(total, weight, point.value)
    return total


def _remember(
    lam: float, value: Tensor, estimates: Sequence[Estimate], order: int
) -> tuple[Estimate, ...]:
    """At most ``order`` estimates, newest first, for the polynomial of the next step. One made of
    noise alone (lam = -inf) has no place on the axis: it is used once and then left out.
    """
    return tuple(
        point
        for point in (Estimate(lam, value), *estimates)
        if math.isfinite(point.lam) or point.value is value
    )[:order]


def _advance(
    now: Instant,
    then: Instant,
    x: Tensor,
    estimates: Sequence[Estimate],
    rule: Rule,
    eta: float = 0.0,
) -> Tensor:
    """x_t to the mean of x_s, (sigma_s / sigma_t) e^{-eta^2 h} x_t + alpha_s sum_j w_j D_j, by the
    estimates D_j.
    """
    decay = then.sigma / now.sigma * (math.exp(-(eta**2) * (then.lam - now.lam)) if eta else 1.0)
    return blend(decay, x, then.alpha, _combine(estimates, now, then, 1 + eta**2, rule))


@dataclass(frozen=True)
class Multistep:
    """DPM-Solver++ (Lu et al. 2022) and its SDE variant, in general exponential Adams-Bashforth:
    explicit, one network call a step.

        x_s = (sigma_s / sigma_t) e^{-eta^2 h} x_t + alpha_s sum_j w_j D_j
              + sigma_s sqrt(1 - e^{-2 eta^2 h}) z,     z ~ N(0, I),

    with the w_j of a step of (1 + eta^2) h. The history is the last ``order`` estimates.

    Args:
        order: number of estimates in use, this step's included.
        rule: ``midpoint`` with order 2 is DPM-Solver++(2M), ``exact`` its ``heun`` form,
            ``dpmpp_3m_rule`` with order 3 DPM-Solver++(3M).
        eta: rate at which noise is replaced: 0 is the ODE, 1 DPM-Solver++ SDE.
    """

    order: int = 2
    rule: Rule = midpoint
    eta: float = 0.0

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
        x0: Tensor = denoiser(x_t, t, **condition).mean
        if then.sigma == 0:
            return then.alpha * x0, ()
        estimates = _remember(now.lam, x0, history, self.order)
        x_s = _advance(now, then, x_t, estimates, self.rule, self.eta)
        if self.eta > 0:
            # Fresh noise of variance sigma_s^2 (1 - e^{-2 eta^2 h}).
            share = -math.expm1(self.eta**2 * (now.log_snr - then.log_snr))
            x_s = plus(x_s, then.sigma * math.sqrt(share), normal_like(x_t, randomness))
        return x_s, estimates


@dataclass(frozen=True)
class ExponentialAdamsMoulton:
    """Exponential Adams-Bashforth-Moulton, a predictor and corrector of one network call a step:
    UniPC with B(h) = e^h - 1 (Zhao et al. 2023) under ``midpoint``.

        corrector:  x_t <- the step from r to t again, D_t now among its estimates, at theta = 1,
        predictor:  x_s = (sigma_s / sigma_t) x_t + alpha_s sum_j w_j D_j,

    with r the time before t and D_t the estimate at the x_t that was predicted, which is not made
    again at the corrected one. The history is (x_r, the process at r, the estimates up to r).

    Args:
        order: number of estimates in use in the predictor; the corrector has one more.
        rule: ``midpoint`` for UniPC, ``exact`` for exponential Adams.
    """

    order: int = 3
    rule: Rule = midpoint

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
        x0: Tensor = denoiser(x_t, t, **condition).mean
        if then.sigma == 0:
            return then.alpha * x0, ()
        estimates: tuple[Estimate, ...] = ()
        # Corrector (Adams-Moulton) of the step before.
        if history:
            x_before, before, estimates = history
            if math.isfinite(estimates[0].lam):
                seen = (*estimates, Estimate(now.lam, x0))
                x_t = _advance(before, now, x_before, seen, self.rule)
        # Predictor (Adams-Bashforth) of this one.
        estimates = _remember(now.lam, x0, estimates, self.order)
        return _advance(now, then, x_t, estimates, self.rule), (x_t, now, estimates)


@dataclass(frozen=True)
class DEIS:
    """Diffusion exponential integrator, DEIS (Zhang & Chen 2023), with the polynomial in lam: it
    goes through estimates of the noise instead of x_0.

        x_s / alpha_s = x_t / alpha_t + int noise dk,     k = sigma / alpha from k_t to k_s,
        x_s = (alpha_s / alpha_t) x_t + sigma_s sum_j w_j noise_j,

    with the w_j of a step of -h. One network call a step. The history is the last ``order``
    estimates.

    Args:
        order: number of estimates in use, this step's included.
    """

    order: int = 3

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
        x0: Tensor = denoiser(x_t, t, **condition).mean
        if then.sigma == 0:
            return then.alpha * x0, ()
        noise = blend(1 / now.sigma, x_t, -now.alpha / now.sigma, x0)
        estimates = _remember(now.lam, noise, history, self.order)
        # From noise alone (lam = -inf): x_s = alpha_s x_0 + sigma_s noise.
        if not math.isfinite(now.lam):
            return blend(then.alpha, x0, then.sigma, noise), estimates
        # The integral over lam.
        change = _combine(estimates, now, then, -1.0, exact)
        return blend(then.alpha / now.alpha, x_t, then.sigma, change), estimates
