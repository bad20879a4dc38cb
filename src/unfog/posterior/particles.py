r"""Twisted sequential Monte Carlo (Wu et al. 2023; Cardoso et al. 2024): a particle filter whose
draws follow the posterior itself, as the number of particles grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser, Product
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.linear import expected_spread
from unfog.sampling.lanczos import function_times
from unfog.sampling.loop import Condition, History

# A prior's step about its mean, as ``ancestral``: (bridge, v -> V v, z, pull) to (move, white)
Kernel = Callable[[Bridge[Tensor], Product, Tensor, Tensor], tuple[Tensor, Tensor]]


def ancestral(
    bridge: Bridge[Tensor], covariance: Product, z: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor]:
    """The step of DDPM, x_s about its guided mean: noise of the bridge alone. Without noise, onto
    sigma = 0, nothing can be guided.

    Args:
        bridge: p(x_s | x_t, x_0).
        covariance: v -> V v, V = Cov(x_0 | x_t).
        z: standard normal, (batch, channels, *space).
        pull: A* (r_t^2 A A* + sigma_y^2)^{-1} (y - A D), likewise.

    Returns:
        Guidance g V pull plus noise, and the guidance in deviations of the noise, both as z.
    """
    deviation = expand(bridge.small.sqrt(), z)
    if not float(deviation.max()) > 0:
        return torch.zeros_like(z), torch.zeros_like(z)
    shift = expand(bridge.x0_gain, z) * covariance(pull)
    return shift + deviation * z, shift / deviation


def calibrated(products: int = 4) -> Kernel:
    """The step of ``sampling.covariance``, whose noise has the posterior's covariance; twice
    ``products`` more products with the Jacobian.
    """

    def kernel(
        bridge: Bridge[Tensor], covariance: Product, z: Tensor, pull: Tensor
    ) -> tuple[Tensor, Tensor]:
        small, gain = float(bridge.small), float(bridge.x0_gain)
        tiny = torch.finfo(torch.float64).tiny
        # (v + g^2 V)^{1/2} z, and the guidance over it, (v + g^2 V)^{-1/2} g V pull.
        noise = function_times(covariance, z, lambda v: (small + gain**2 * v).sqrt(), products)
        white = function_times(
            covariance,
            pull,
            lambda v: gain * v / (small + gain**2 * v).clamp(min=tiny).sqrt(),
            products,
        )
        return gain * covariance(pull) + noise, white

    return kernel


@dataclass(frozen=True)
class ParticleFilter:
    """A particle filter (Wu et al. 2023; Cardoso et al. 2024), as a sampler for a prior's own
    denoiser on a grid that ends at 0. Its particles follow the guided step q(x_s | x_t, y), the
    prior's step with PiGDM's mean for D, and carry weights that make up for it:

        psi_t(x_t) = N(y; A D(x_t), r_t^2 A A* + sigma_y^2),
        w <- w p(x_s | x_t) psi_s(x_s) / (q(x_s | x_t, y) psi_t(x_t)),

    p the prior's own step; where the effective number 1 / sum w^2 is small they are drawn anew by
    their weights (systematic resampling). At the end psi_0 is the likelihood, and whatever psi was
    before cancels: the law of the particles is that of the prior's sampler on this grid,
    conditioned on y. A step p with calibrated noise is exact for a Gaussian in few steps, DDPM's in
    many.

    One network call a step and the kernel's products with its Jacobian, one for DDPM's. The batch
    is ``particles`` for each filter, one filter after the other. The result is equally weighted;
    within a filter some particles may be the same. A filter depends on its own generators alone.
    The history is log w - log psi_s, (batch,).

    Args:
        operator: A.
        measurement: y, a row for each of the batch.
        sigma: sigma_y, above 0.
        particles: of each filter, 2 or more; it divides the batch.
        kernel: the prior's step, ``ancestral`` or ``calibrated()``.
        prior_variance: v of r_t^2 = k^2 v / (k^2 + v), k = sigma_t / alpha_t.
        least: share of ``particles`` below which the effective number leads to resampling.
    """

    operator: Operator
    measurement: Tensor
    sigma: float
    particles: int
    kernel: Kernel = ancestral
    prior_variance: float = 1.0
    least: float = 0.5

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise InputError(
                "A particle filter needs a measurement noise above zero; give a small one."
            )
        if self.particles < 2 or len(self.measurement) % self.particles:
            raise InputError(
                f"A filter of {self.particles} particles needs 2 or more, and a batch that "
                "divides by them."
            )

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
        (log_carried,) = history or (torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device),)
        bridge = Bridge.of(denoiser.process, t, s)
        x0, covariance = denoiser.with_covariance(x_t, t, **condition)
        # psi_t, and the guided step q.
        log_psi, pull = self._twist(x0, denoiser.process.noise_level(t))
        noise = normal_like(x_t, randomness)
        move, white = self.kernel(bridge, covariance, noise, pull)
        x_s = expand(bridge.x0_gain, x_t) * x0 + expand(bridge.xt_gain, x_t) * x_t + move
        # log p(x_s | x_t) / q(x_s | x_t, y), of two Gaussians with one covariance.
        ratio = (sum_per_sample(noise**2) - sum_per_sample((noise + white) ** 2)).double() / 2
        if float(bridge.sigma_s) == 0:
            # psi_0, the likelihood itself; equally weighted at the end.
            residual = self.measurement - self.operator(x_s)
            likelihood = -sum_per_sample(residual**2).double() / (2 * self.sigma**2)
            return x_s[self._drawn(log_carried + ratio + likelihood, randomness, 1.0)[0]], ()
        ancestors, log_weight = self._drawn(log_carried + log_psi + ratio, randomness, self.least)
        return x_s[ancestors], (log_weight - log_psi[ancestors],)

    def _twist(self, x0: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """log psi_t, (batch,), up to a number that all particles share, and A* (r_t^2 A A* +
        sigma_y^2)^{-1} (y - A D).
        """
        spread = expected_spread(level, self.prior_variance)
        residual = self.measurement - self.operator(x0)
        pull = self.operator.tikhonov(residual, self.sigma**2 / spread) / expand(spread, x0)
        # sigma_y^2 (r_t^2 A A* + sigma_y^2)^{-1} (y - A D).
        whitened = residual - expand(spread, residual) * self.operator(pull)
        return -sum_per_sample(residual * whitened).double() / (2 * self.sigma**2), pull

    def _drawn(
        self, log_weight: Tensor, randomness: Randomness, least: float
    ) -> tuple[Tensor, Tensor]:
        """Systematic resampling of the filters whose effective number of particles is below
        ``least`` of them; the others stay as they are. Returns the places in the batch of the
        particles that go on, and their log-weights, (batch,) both.
        """
        table = log_weight.view(-1, self.particles)
        weight = torch.softmax(table, 1)
        low = 1 / weight.square().sum(1) < least * self.particles
        # One uniform number a filter, at even distances along the cumulative weights.
        even = (
            torch.arange(self.particles, dtype=torch.float64, device=weight.device)
            + self._uniform(len(table), randomness)
        ) / self.particles
        resampled = torch.searchsorted(weight.cumsum(1), even.to(weight)).clamp(
            max=self.particles - 1
        )
        unchanged = torch.arange(self.particles, device=weight.device).expand_as(resampled)
        ancestors = torch.where(low[:, None], resampled, unchanged)
        # Ancestors as places in the batch; weights are 1 after resampling, of mean 1 otherwise.
        start = torch.arange(len(table), device=weight.device)[:, None] * self.particles
        log_kept = torch.where(
            low[:, None],
            torch.zeros_like(table),
            table - torch.logsumexp(table, 1, keepdim=True) + math.log(self.particles),
        )
        return (start + ancestors).flatten(), log_kept.flatten()

    def _uniform(self, filters: int, randomness: Randomness) -> Tensor:
        """One number in [0, 1) for each filter, from the generator of its first particle."""
        if isinstance(randomness, torch.Generator):
            return torch.rand(filters, 1, generator=randomness, dtype=torch.float64)
        return torch.cat(
            [
                torch.rand(1, 1, generator=g, dtype=torch.float64)
                for g in randomness[:: self.particles]
            ]
        )
