r"""The terms of the variational bound (Sohl-Dickstein et al. 2015; Ho et al. 2020, eq. 5), in nats
per sample.

    -log p(x_0) <= KL(q(x_T | x_0) || N(0, sigma_T^2)) + sum KL(q(x_s | x_t, x_0) || p(x_s | x_t)) -
    log p(x_0 | x_1)

q is the bridge, p a Gaussian about the bridge's mean at the denoised x_0, with a variance v of its
own:

    KL(q || p) = (log(v / small) + (small + gain^2 (x_0 - mean)^2) / v - 1) / 2.

The last term is a density, or for data in bins the probability of the bin.
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
    """The Gaussian's own: for continuous data."""
    return -0.5 * ((x - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi))


@decoders.register("density")
def _density() -> Decoder:
    return density


@decoders.register("bins")
@dataclass(frozen=True)
class Bins:
    """The Gaussian's mass in a bin of ``width`` about x; the bins at ``low`` and ``high`` reach to
    infinity. On the model's scale.
    """

    width: float = 2 / 255
    low: float = -1.0
    high: float = 1.0

    def __call__(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        upper = torch.where(
            x >= self.high - self.width / 2, math.inf, (x + self.width / 2 - mean) / variance.sqrt()
        )
        lower = torch.where(
            x <= self.low + self.width / 2, -math.inf, (x - self.width / 2 - mean) / variance.sqrt()
        )
        # Measured from the tail that x is in, where the difference keeps its digits.
        near, far = torch.where(lower > 0, lower, -upper), torch.where(lower > 0, upper, -lower)
        mass: Tensor = 0.5 * (torch.erfc(near / math.sqrt(2)) - torch.erfc(far / math.sqrt(2)))
        return mass.clamp(min=torch.finfo(x.dtype).tiny).log()


def prior_term(process: Process, x_0: Tensor, t: Tensor) -> Tensor:
    """KL(q(x_t | x_0) || N(0, sigma_t^2)), (batch,), at the noisiest time t, a scalar or
    (batch,).
    """
    return 0.5 * sum_per_sample((x_0 / expand(process.noise_level(t), x_0)) ** 2)


def step_term(
    bridge: Bridge, x_0: Tensor, mean: Tensor, variance: Tensor, decoder: Decoder = density
) -> Tensor:
    """What one step costs, (batch,): the KL divergence, or -log p(x_0 | x_t) where the step ends on
    clean data.

    x_0, the denoised ``mean`` and the step's ``variance`` > 0 are (batch, channels, *space); the
    bridge's times scalars or (batch,).
    """
    ends = expand(bridge.sigma_s, x_0) == 0
    small = torch.where(
        ends, variance, expand(bridge.small, x_0)
    )  # where it ends there is no divergence, and none may divide by 0
    miss = expand(bridge.x0_gain, x_0) * (x_0 - mean)
    divergence = 0.5 * ((variance / small).log() + (small + miss**2) / variance - 1)
    return sum_per_sample(torch.where(ends, -decoder(x_0, mean, variance), divergence))
