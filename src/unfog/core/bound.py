r"""The terms of the variational bound on the negative log-likelihood, in nats per sample.

    -log p(x_0) <=   KL(q(x_T | x_0) || N(0, sigma_T^2))           prior_term
                   + sum KL(q(x_s | x_t, x_0) || p(x_s | x_t))     step_term
                   - log p(x_0 | x_1)                              step_term, by its decoder

(Sohl-Dickstein et al. 2015; Ho et al. 2020, eq. 5). ``training.objectives.variational`` minimises
it and ``evaluation.variational`` reports it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.process import Process
from unfog.core.registry import Registry
from unfog.core.shapes import expand, sum_per_sample

# (x_0, mean, variance) -> log p(x_0), elementwise
Decoder = Callable[[Tensor, Tensor, Tensor], Tensor]
decoders: Registry[Decoder] = Registry("decoder")


def density(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """log N(x; mean, variance), elementwise: the decoder for continuous data.

    Args:
        x: Clean data x_0 (batch, channels, *space), on the model's scale.
        mean: Mean of p(x_0 | x_1), of the same shape.
        variance: Variance of p(x_0 | x_1), > 0, of the same shape.

    Returns:
        The log-density of each value, in nats, shaped as ``x``.
    """
    return -0.5 * ((x - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi))


@decoders.register("density")
def _density() -> Decoder:
    return density


@decoders.register("bins")
@dataclass(frozen=True)
class Bins:
    """The decoder for quantised data: the log-probability of the bin that x lies in (Ho et al.
    2020, eq. 13).

        log [Phi((x + width/2 - mean) / std) - Phi((x - width/2 - mean) / std)],

    Phi the standard normal distribution function; the bins at ``low`` and ``high`` reach to
    infinity. ``width``, ``low`` and ``high`` are on the model's scale: the defaults are those of 8
    bits on [-1, 1].
    """

    width: float = 2 / 255
    low: float = -1.0
    high: float = 1.0

    def __call__(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        # The bin's borders in standard deviations from the mean; the outermost are infinite.
        upper = torch.where(
            x >= self.high - self.width / 2, math.inf, (x + self.width / 2 - mean) / variance.sqrt()
        )
        lower = torch.where(
            x <= self.low + self.width / 2, -math.inf, (x - self.width / 2 - mean) / variance.sqrt()
        )
        # Phi(upper) - Phi(lower) = (erfc(near / sqrt 2) - erfc(far / sqrt 2)) / 2, taken in the
        # tail that the bin lies in: there both terms are small and their difference is accurate.
        near, far = torch.where(lower > 0, lower, -upper), torch.where(lower > 0, upper, -lower)
        mass: Tensor = 0.5 * (torch.erfc(near / math.sqrt(2)) - torch.erfc(far / math.sqrt(2)))
        return mass.clamp(min=torch.finfo(x.dtype).tiny).log()


def prior_term(process: Process, x_0: Tensor, t: Tensor) -> Tensor:
    """The prior term KL(q(x_t | x_0) || N(0, sigma_t^2)) = |alpha_t x_0 / sigma_t|^2 / 2.

    Args:
        process: The forward process.
        x_0: Clean data (batch, channels, *space), on the model's scale.
        t: The noisiest time, a float64 scalar or (batch,).

    Returns:
        The divergence of each sample, in nats, (batch,).
    """
    return 0.5 * sum_per_sample((x_0 / expand(process.noise_level(t), x_0)) ** 2)


def step_term(
    bridge: Bridge[Tensor], x_0: Tensor, mean: Tensor, variance: Tensor, decoder: Decoder = density
) -> Tensor:
    """One term of the bound: the KL divergence of a step, or -log p(x_0 | x_t) where the step ends
    on clean data (sigma_s = 0).

    q = q(x_s | x_t, x_0) is the bridge, p = p(x_s | x_t) the Gaussian about the bridge's mean at
    the denoised x_0, with a variance v of its own:

        KL(q || p) = (log(v / small) + (small + gain^2 (x_0 - mean)^2) / v - 1) / 2,

    summed over the values of a sample; ``small`` and ``gain`` are the bridge's ``small`` and
    ``x0_gain``.

    Args:
        bridge: The step from t to s, its times scalars or (batch,).
        x_0: Clean data (batch, channels, *space), on the model's scale.
        mean: The denoised estimate of x_0, of the same shape.
        variance: The variance v > 0 of p(x_s | x_t), of the same shape.
        decoder: log p(x_0 | x_t) of a step that ends on clean data.

    Returns:
        The term of each sample, in nats, (batch,).
    """
    ends = expand(bridge.sigma_s, x_0) == 0
    # Where the step ends on clean data there is no divergence, and none may divide by 0.
    small = torch.where(ends, variance, expand(bridge.small, x_0))
    # The means of q and p differ by gain (x_0 - mean).
    miss = expand(bridge.x0_gain, x_0) * (x_0 - mean)
    divergence = 0.5 * ((variance / small).log() + (small + miss**2) / variance - 1)
    return sum_per_sample(torch.where(ends, -decoder(x_0, mean, variance), divergence))
