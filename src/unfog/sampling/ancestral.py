r"""Ancestral samplers: DDPM (Ho et al. 2020) and DDIM (Song, Meng & Ermon 2021).

Both draw x_s from the bridge between x_t and x_0 (``core.bridge``) with x_0 replaced by its
posterior mean.
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
    """The bridge's own variance: right when x_0 is known.

    Args:
        bridge: p(x_s | x_t, x_0).
        posterior: p(x_0 | x_t), with its variance if the model learned one.
        x_t: (batch, channels, *space).

    Returns:
        Variance of x_s given x_t, of a shape that broadcasts to x_t.
    """
    return expand(bridge.small, x_t)


@variances.register("large")
def large(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """The forward step's variance: right when x_0 is standard normal. Arguments as for
    ``small``.

    Args:
        bridge: p(x_s | x_t, x_0).
        posterior: not used.
        x_t: (batch, channels, *space).

    Returns:
        Variance of x_s given x_t, of a shape that broadcasts to x_t.
    """
    return expand(bridge.large, x_t)


@variances.register("posterior")
def posterior(bridge: Bridge, posterior: Posterior, x_t: Tensor) -> Tensor:
    """small + (d mean / d x_0)^2 Var(x_0 | x_t): right to second order (Bao et al. 2022); learned
    variances come this way.

    Args:
        bridge: p(x_s | x_t, x_0).
        posterior: p(x_0 | x_t), with its variance if the model learned one.
        x_t: (batch, channels, *space).

    Returns:
        Variance of x_s given x_t, of a shape that broadcasts to x_t.

    Raises:
        InputError: where the model learned no variance.
    """
    if posterior.variance is None:
        raise InputError(
            "The posterior variance needs a model that learned one; use the variance 'small' or "
            "'large'."
        )
    return expand(bridge.small, x_t) + expand(bridge.x0_gain, x_t) ** 2 * posterior.variance


@dataclass(frozen=True)
class DDPM:
    """DDPM's ancestral sampling (Ho et al. 2020): a draw from the reverse step p(x_s | x_t),

        x_s = bridge mean at E[x_0 | x_t] + sqrt(v) z,     z ~ N(0, I).

    Args:
        variance: v, one of the registry ``variances``: "small", "large" or "posterior".
    """

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
        # Mean of the reverse step.
        mean = expand(bridge.x0_gain, x_t) * p.mean + expand(bridge.xt_gain, x_t) * x_t
        if float(bridge.sigma_s) == 0:
            return p.mean, ()
        return mean + self.variance(bridge, p, x_t).sqrt() * normal_like(x_t, randomness), ()


@dataclass(frozen=True)
class DDIM:
    """DDIM (Song, Meng & Ermon 2021), which keeps a share eta of DDPM's fresh noise:

        x_s = alpha_s x_0 + sqrt(sigma_s^2 - eta^2 v) noise_t + eta sqrt(v) z,

    with v the bridge's own variance and noise_t = (x_t - alpha_t x_0) / sigma_t.

    Args:
        eta: 0 is deterministic, 1 is DDPM with the variance ``small``.
    """

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
        # The old noise makes room for the fresh one.
        fresh = self.eta**2 * bridge.small
        x_s = (
            expand(bridge.alpha_s, x_t) * x0
            + expand((bridge.sigma_s**2 - fresh).clamp(min=0).sqrt(), x_t) * noise
        )
        if float(fresh) > 0:
            x_s = x_s + expand(fresh.sqrt(), x_t) * normal_like(x_t, randomness)
        return x_s, ()
