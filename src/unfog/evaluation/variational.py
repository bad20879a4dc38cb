r"""The variational bound of the ancestral chain (Ho et al. 2020, eq. 5), for any process and grid.

    -log p(x_0) <= KL(q(x_T | x_0) || N(0, sigma_T^2)) + sum KL(q(x_s | x_t, x_0) || p(x_s | x_t)) - log p(x_0 | x_1),

where q is the bridge and p has its mean at the denoised x_0, with a variance of ``sampling.ancestral``. All terms are Gaussian;
x_t is drawn once for each. The last is a density, or for data in bins the probability of the bin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.sampling.ancestral import Variance
from unfog.sampling.grids import check_grid
from unfog.sampling.loop import Condition

Decoder = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_0, mean, variance) -> log p(x_0), elementwise


def density(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The Gaussian's own: for continuous data."""
    return -0.5 * ((x - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi))


@dataclass(frozen=True)
class Bins:
    """The Gaussian's mass in a bin of ``width`` about x; the bins at ``low`` and ``high`` reach to infinity. On the model's scale."""

    width: float = 2 / 255
    low: float = -1.0
    high: float = 1.0

    def __call__(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        upper = torch.where(x >= self.high - self.width / 2, math.inf, (x + self.width / 2 - mean) / variance.sqrt())
        lower = torch.where(x <= self.low + self.width / 2, -math.inf, (x - self.width / 2 - mean) / variance.sqrt())
        # Measured from the tail that x is in, where the difference keeps its digits.
        near, far = torch.where(lower > 0, lower, -upper), torch.where(lower > 0, upper, -lower)
        mass: Tensor = 0.5 * (torch.erfc(near / math.sqrt(2)) - torch.erfc(far / math.sqrt(2)))
        return mass.clamp(min=torch.finfo(x.dtype).tiny).log()


@torch.no_grad()
def variational_bound(
    denoiser: Denoiser,
    x_0: Tensor,
    grid: Tensor,
    variance: Variance,
    *,
    randomness: Randomness,
    decoder: Decoder = density,
    condition: Condition | None = None,
) -> Tensor:
    """An unbiased estimate of the bound in nats, (batch,), for x_0 (batch, channels, *space) on the model's scale."""
    times, process = check_grid(grid), denoiser.process
    if float(times[-1]) != 0:
        raise InputError("The variational bound is of a grid that ends at t = 0.")
    bound = 0.5 * sum_per_sample((x_0 / expand(process.noise_level(times[0]), x_0)) ** 2)
    for t, s in pairwise(times):
        bridge = Bridge.of(process, t, s)
        x_t = expand(bridge.alpha_t, x_0) * x_0 + expand(bridge.sigma_t, x_0) * normal_like(x_0, randomness)
        posterior = denoiser(x_t, t, **(condition or {}))
        spread = variance(bridge, posterior, x_t).expand_as(x_0)
        if not bool((spread > 0).all()):
            raise InputError("The last step of the bound needs a variance above zero: take 'large', or 'posterior' where it is learned.")
        if float(s) == 0:
            return bound - sum_per_sample(decoder(x_0, posterior.mean, spread))
        small, miss = expand(bridge.small, x_0), expand(bridge.x0_gain, x_0) * (x_0 - posterior.mean)
        bound = bound + sum_per_sample(0.5 * ((spread / small).log() + (small + miss**2) / spread - 1))
    raise AssertionError("a grid ends")
