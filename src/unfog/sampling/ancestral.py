r"""Ancestral samplers: DDPM (Ho et al. 2020) and DDIM (Song, Meng & Ermon 2021).

DDPM draws x_s from the bridge between x_t and x_0 (``core.bridge``) with x_0 replaced by its
posterior mean,

    x_s = bridge mean + sqrt(v) noise,
    v: the bridge's own variance, the forward step's, or one that was learned;

DDIM keeps only a share eta of the noise: x_s = alpha_s x_0 + sqrt(sigma_s^2 - eta^2 v) noise_t +
eta sqrt(v) noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import Randomness, normal_like
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History

Variance = Callable[[Bridge, Posterior, Tensor], Tensor]
variances: Registry[Tensor] = Registry("variance")


@variances.register("small")
def small(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """The bridge's own variance: right when x_0 is known."""
    return expand(bridge.small, x_t)


@variances.register("large")
def large(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """The forward step's variance: right when x_0 is standard normal."""
    return expand(bridge.large, x_t)


@variances.register("posterior")
def posterior(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """small + (d mean / d x_0)^2 Var(x_0 | x_t): right to second order (Bao et al. 2022); learned
    variances come this way.
    """
    if posterior.variance is None:
        raise InputError(
            "The posterior variance needs a model that learned one; use the variance 'small' or "
            "'large'."
        )
    return expand(bridge.small, x_t) + expand(bridge.x0_gain, x_t) ** 2 * posterior.variance


@dataclass(frozen=True)
class DDPM:
    """Ancestral sampling with a chosen variance of the reverse step."""

    variance: Variance = field(default=small)

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
        p, bridge = denoiser(x_t, t, **condition), Bridge.of(denoiser.process, t, s)
        mean = expand(bridge.x0_gain, x_t) * p.mean + expand(bridge.xt_gain, x_t) * x_t
        if float(bridge.sigma_s) == 0:
            return p.mean, ()
        return mean + self.variance(bridge, p, x_t).sqrt() * normal_like(x_t, randomness), ()


@dataclass(frozen=True)
class DDIM:
    """eta = 0 is deterministic, eta = 1 is DDPM with the small variance."""

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
        x0, bridge = denoiser(x_t, t, **condition).mean, Bridge.of(denoiser.process, t, s)
        noise = (x_t - expand(bridge.alpha_t, x_t) * x0) / expand(bridge.sigma_t, x_t)
        fresh = self.eta**2 * bridge.small
        x_s = (
            expand(bridge.alpha_s, x_t) * x0
            + expand((bridge.sigma_s**2 - fresh).clamp(min=0).sqrt(), x_t) * noise
        )
        if float(fresh) > 0:
            x_s = x_s + expand(fresh.sqrt(), x_t) * normal_like(x_t, randomness)
        return x_s, ()
