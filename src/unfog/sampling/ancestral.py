r"""Ancestral samplers: DDPM (Ho et al. 2020) and DDIM (Song, Meng & Ermon 2021).

Both draw x_s from the bridge between x_t and x_0 (``core.bridge``) with x_0 replaced by its
posterior mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import Randomness, normal_like
from unfog.core.registry import Registry
from unfog.core.shapes import Number, blend, expand, plus, root
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History

AnyBridge = Bridge[float] | Bridge[Tensor]
Variance = Callable[[AnyBridge, Posterior, Tensor], Number]
variances: Registry[Number] = Registry("variance")


@variances.register("small")
def small(bridge: AnyBridge, posterior: Posterior, x_t: Tensor) -> Number:
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
def large(bridge: AnyBridge, posterior: Posterior, x_t: Tensor) -> Number:
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
def posterior(bridge: AnyBridge, posterior: Posterior, x_t: Tensor) -> Number:
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
        p, process = denoiser(x_t, t, **condition), denoiser.process
        bridge = Bridge.between(process.at(t), process.at(s))
        if bridge.sigma_s == 0:
            return p.mean, ()
        # Mean of the reverse step.
        mean = blend(bridge.x0_gain, p.mean, bridge.xt_gain, x_t)
        return plus(mean, root(self.variance(bridge, p, x_t)), normal_like(x_t, randomness)), ()


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
        x0, process = denoiser(x_t, t, **condition).mean, denoiser.process
        bridge = Bridge.between(process.at(t), process.at(s))
        # The old noise makes room for the fresh one.
        fresh = self.eta**2 * bridge.small
        kept = math.sqrt(max(bridge.sigma_s**2 - fresh, 0.0)) / bridge.sigma_t
        # alpha_s x_0 + kept (x_t - alpha_t x_0), in one sum.
        x_s = blend(bridge.alpha_s - kept * bridge.alpha_t, x0, kept, x_t)
        if fresh > 0:
            x_s = plus(x_s, math.sqrt(fresh), normal_like(x_t, randomness))
        return x_s, ()
