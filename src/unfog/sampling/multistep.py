r"""Exponential multistep solvers: DPM-Solver++ (Lu et al. 2022), DEIS (Zhang & Chen 2023), UniPC
(Zhao et al. 2023), exponential Adams.

With lambda = log(alpha / sigma), h = lambda_s - lambda_t and D the denoised estimate at the share
theta of the step,

    x_s = (sigma_s / sigma_t) x_t + alpha_s h int_0^1 e^{-h (1 - theta)} D(theta) dtheta.

D is replaced by the polynomial through the estimates at the last few times, at theta_j <= 0, so the
integral is a sum w_j D_j with

    sum_j w_j theta_j^k = M_k,     M_k = h int_0^1 e^{-h (1 - theta)} theta^k dtheta.

Solved as it stands this is the exponential Adams method, of order 2 DPM-Solver++(2M) in its
``heun`` form. The published variants change one moment: ``midpoint`` has M_1 = M_0 / 2 where there
are two points, and DPM-Solver++(3M) has M_2 / 2 for M_2 where there are three. A corrector repeats
the step with the new estimate, at theta = 1, among the points; it costs no call. With eta > 0 noise
is replaced at that rate (DPM-Solver++ SDE), and h becomes (1 + eta^2) h in the moments. The step
onto sigma = 0 is D itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Process
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.sampling.loop import Condition, History

Rule = Callable[[Tensor], Tensor]  # moments (n,) as they are to those a method uses


def exact(moments: Tensor) -> Tensor:
    """The moments themselves: order n with n points."""
    return moments


def midpoint(moments: Tensor) -> Tensor:
    """With two points, M_1 = M_0 / 2: still of order 2, and several percent away at few steps."""
    return torch.stack([moments[0], moments[0] / 2]) if len(moments) == 2 else moments


def halved(moments: Tensor) -> Tensor:
    """Half the second moment, which leaves order 2: k-diffusion's DPM-Solver++(3M) SDE."""
    return torch.cat([moments[:2], moments[2:] / 2])


def dpmpp_3m_rule(moments: Tensor) -> Tensor:
    """DPM-Solver++(3M) as it is in use (diffusers has the same numbers): the same but for its
    second step, which is ``midpoint``.
    """
    return halved(moments) if len(moments) == 3 else midpoint(moments)


_ABSCISSAE, _WEIGHTS = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(32))


def moments(h: Tensor, count: int) -> Tensor:
    """M_0 .. M_{count-1}: by quadrature, since the closed form loses its digits at small h."""
    theta = (1 + _ABSCISSAE) / 2
    kernel = h * torch.exp(-h * (1 - theta)) * _WEIGHTS / 2
    higher = [(kernel * theta**k).sum() for k in range(1, count)]
    return torch.stack([-torch.expm1(-h), *higher])


@dataclass(frozen=True)
class Estimate:
    """An estimate and its lambda."""

    lam: Tensor
    value: Tensor


def combine(
    estimates: Sequence[Estimate], origin: Tensor, h: Tensor, rate: float, rule: Rule
) -> Tensor:
    """sum_j w_j D_j over a step of h from ``origin``, with ``rate`` h in the moments."""
    wanted = rule(moments(rate * h, len(estimates)))
    if len(estimates) == 1:
        return expand(wanted[0], estimates[0].value) * estimates[0].value
    nodes = (torch.stack([point.lam for point in estimates]) - origin) / h
    weights = torch.linalg.solve(
        nodes ** torch.arange(len(estimates), dtype=torch.float64)[:, None], wanted
    )
    return sum(
        (expand(w, point.value) * point.value for w, point in zip(weights, estimates, strict=True)),
        torch.zeros_like(estimates[0].value),
    )


def remember(
    lam: Tensor, value: Tensor, estimates: Sequence[Estimate], order: int
) -> tuple[Estimate, ...]:
    """The last ``order`` estimates, newest first; one made of noise alone (lambda = -inf) has no
    place on the axis.
    """
    return tuple(
        point
        for point in (Estimate(lam, value), *estimates)
        if bool(point.lam.isfinite()) or point.value is value
    )[:order]


def advance(
    process: Process,
    x: Tensor,
    t: Tensor,
    s: Tensor,
    estimates: Sequence[Estimate],
    rule: Rule,
    eta: float = 0.0,
) -> Tensor:
    """x_t to the mean of x_s by the estimates ``estimates``."""
    origin = 0.5 * process.log_snr(t)
    h = 0.5 * process.log_snr(s) - origin
    decay = process.sigma(s) / process.sigma(t) * (torch.exp(-(eta**2) * h) if eta else 1.0)
    return expand(decay, x) * x + expand(process.alpha(s), x) * combine(
        estimates, origin, h, 1 + eta**2, rule
    )


@dataclass(frozen=True)
class Multistep:
    """Exponential Adams-Bashforth of this order under a rule, one call a step: DPM-Solver++ and its
    SDE variant.
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
        process, x0 = denoiser.process, denoiser(x_t, t, **condition).mean
        if float(process.sigma(s)) == 0:
            return expand(process.alpha(s), x0) * x0, ()
        estimates = remember(0.5 * process.log_snr(t), x0, history, self.order)
        x_s = advance(process, x_t, t, s, estimates, self.rule, self.eta)
        if self.eta > 0:
            share = -torch.expm1(self.eta**2 * (process.log_snr(t) - process.log_snr(s)))
            x_s = x_s + expand(process.sigma(s) * share.sqrt(), x_t) * normal_like(x_t, randomness)
        return x_s, estimates


@dataclass(frozen=True)
class ExponentialAdamsMoulton:
    """Exponential Adams-Bashforth-Moulton, one call a step: UniPC under ``midpoint``. History is
    (x, t, estimates) of the step before.
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
        process, x0 = denoiser.process, denoiser(x_t, t, **condition).mean
        if float(process.sigma(s)) == 0:
            return expand(process.alpha(s), x0) * x0, ()
        lam = 0.5 * process.log_snr(t)
        estimates: tuple[Estimate, ...] = ()
        if history:
            x_before, t_before, estimates = history
            if bool(estimates[0].lam.isfinite()):
                x_t = advance(
                    process, x_before, t_before, t, (*estimates, Estimate(lam, x0)), self.rule
                )
        estimates = remember(lam, x0, estimates, self.order)
        return advance(process, x_t, t, s, estimates, self.rule), (x_t, t, estimates)


@dataclass(frozen=True)
class DEIS:
    """The same polynomial through estimates of the noise: with k = sigma / alpha, x_s / alpha_s =
    x_t / alpha_t + int noise dk.
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
        process, x0 = denoiser.process, denoiser(x_t, t, **condition).mean
        if float(process.sigma(s)) == 0:
            return expand(process.alpha(s), x0) * x0, ()
        alpha, sigma = denoiser.scales(t)
        origin = 0.5 * process.log_snr(t)
        noise = (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t)
        estimates = remember(origin, noise, history, self.order)
        if not bool(origin.isfinite()):  # from noise alone: x_s = alpha_s x_0 + sigma_s noise
            return expand(process.alpha(s), x0) * x0 + expand(
                process.sigma(s), x0
            ) * noise, estimates
        change = combine(estimates, origin, 0.5 * process.log_snr(s) - origin, -1.0, exact)
        return expand(process.alpha(s) / alpha, x_t) * x_t + expand(
            process.sigma(s), x_t
        ) * change, estimates
