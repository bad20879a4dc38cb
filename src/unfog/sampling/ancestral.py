r"""Ancestral samplers: DDPM (Ho et al. 2020) and DDIM (Song, Meng & Ermon 2021).

With r = SNR_t / SNR_s, the forward process has the exact bridge

    x_s | x_t, x_0 ~ N(alpha_s x_0 + r (alpha_s / alpha_t) (x_t - alpha_t x_0),  sigma_s^2 (1 - r)).

DDPM draws from it with x_0 replaced by the posterior mean; DDIM keeps only a share eta of the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process
from unfog.core.random import Randomness, normal_like
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History


@dataclass(frozen=True)
class Bridge:
    """The numbers of one step from t to s (float64 scalars)."""

    alpha_t: Tensor
    sigma_t: Tensor
    alpha_s: Tensor
    sigma_s: Tensor
    one_minus_r: Tensor  # 1 - SNR_t / SNR_s, with its digits kept

    @classmethod
    def of(cls, process: Process, t: Tensor, s: Tensor) -> Bridge:
        one_minus_r = -torch.expm1(process.log_snr(t) - process.log_snr(s))
        return cls(process.alpha(t), process.sigma(t), process.alpha(s), process.sigma(s), one_minus_r)

    @property
    def small(self) -> Tensor:
        """Variance of x_s given x_t and x_0."""
        return self.sigma_s**2 * self.one_minus_r

    @property
    def large(self) -> Tensor:
        """Variance of x_t given x_s."""
        return self.sigma_t**2 * self.one_minus_r

    @property
    def x0_gain(self) -> Tensor:
        """d mean(x_s) / d x_0."""
        return self.alpha_s * self.one_minus_r

    @property
    def xt_gain(self) -> Tensor:
        """d mean(x_s) / d x_t."""
        return (1 - self.one_minus_r) * self.alpha_s / self.alpha_t


Variance = Callable[[Bridge, Posterior, Tensor], Tensor]
variances: Registry[Tensor] = Registry("variance")


@variances.register("small")
def small(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """The bridge's own variance: right when x_0 is known."""
    return bridge.small.to(x_t)


@variances.register("large")
def large(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """The forward step's variance: right when x_0 is standard normal."""
    return bridge.large.to(x_t)


@variances.register("posterior")
def posterior(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """small + (d mean / d x_0)^2 Var(x_0 | x_t): right to second order (Bao et al. 2022); learned variances come this way."""
    if posterior.variance is None:
        raise InputError("The posterior variance needs a model that learned one; use the variance 'small' or 'large'.")
    return bridge.small.to(x_t) + bridge.x0_gain.to(x_t) ** 2 * posterior.variance


@dataclass(frozen=True)
class DDPM:
    """Ancestral sampling with a chosen variance of the reverse step."""

    variance: Variance = field(default=small)

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
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
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        x0, bridge = denoiser(x_t, t, **condition).mean, Bridge.of(denoiser.process, t, s)
        noise = (x_t - expand(bridge.alpha_t, x_t) * x0) / expand(bridge.sigma_t, x_t)
        fresh = self.eta**2 * bridge.small
        x_s = expand(bridge.alpha_s, x_t) * x0 + expand((bridge.sigma_s**2 - fresh).clamp(min=0).sqrt(), x_t) * noise
        if float(fresh) > 0:
            x_s = x_s + expand(fresh.sqrt(), x_t) * normal_like(x_t, randomness)
        return x_s, ()
