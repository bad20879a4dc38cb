r"""Priors of signals with independent increments, such as Lévy processes have: their posterior
under any linear measurement by Gibbs sampling, and their denoiser by the same.

    x_k = u_1 + ... + u_k,     u_k = v_k sqrt(w_k) n_k,     n_k ~ N(0, 1),

w_k a random variance that makes the increments Laplace's or Student's (Andrews & Mallows 1974), and
v_k whether there is an increment at all. Given v and w a signal is Gaussian, so each sweep draws u
exactly (Bohra et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior, Product
from unfog.core.increments import Increments
from unfog.core.process import Process
from unfog.core.random import generator
from unfog.core.shapes import expand
from unfog.errors import InputError

LARGEST = 1e11  # variance of an increment, over the noise's


@dataclass(frozen=True)
class Moments:
    """What a chain knows of a posterior.

    Args:
        mean: (chains, d).
        covariance: (chains, d, d).
        draws: Of x, (chains, kept sweeps, d).
    """

    mean: Tensor
    covariance: Tensor
    draws: Tensor


@dataclass(frozen=True)
class Levy:
    """A prior of signals of ``size`` values with independent increments, the first from 0.

    Args:
        increments: Their law.
        size: d.
    """

    increments: Increments
    size: int

    def draw(self, n: int, randomness: torch.Generator) -> Tensor:
        """``n`` exact samples, (n, d), float64."""
        like = torch.zeros(n, self.size, dtype=torch.float64)
        w = self.increments.prior_variances(like, randomness)
        there = torch.rand(like.shape, generator=randomness) < self.increments.active
        z = torch.randn(like.shape, generator=randomness, dtype=like.dtype)
        return (there * w.sqrt() * z).cumsum(1)

    def posterior(
        self,
        matrix: Tensor,
        y: Tensor,
        sigma: Tensor,
        randomness: torch.Generator,
        *,
        warmup: int = 50,
        sweeps: int = 100,
    ) -> Moments:
        """The posterior given y = A x + sigma noise, one chain for each y.

        Args:
            matrix: A, (m, d).
            y: (chains, m).
            sigma: Above 0, (chains,).
            randomness: The generator.
            warmup: Sweeps that are left out.
            sweeps: Sweeps that are kept.

        Returns:
            Mean and covariance, averaged over what each sweep knows exactly (Rao & Blackwell), and
            the draws.
        """
        steps = torch.ones(self.size, self.size, dtype=torch.float64).tril()
        chain = _Chain(self.increments, matrix.double() @ steps, y.double(), sigma.double())
        if sweeps < 1:
            raise InputError(f"A chain keeps one sweep or more, not {sweeps}.")
        means, seconds, draws = [], [], []
        chain.start(randomness)
        for sweep in range(warmup + sweeps):
            chain.sweep(randomness)
            if sweep >= warmup:
                centre, covariance = chain.moments()
                means.append(centre)
                seconds.append(covariance)
                draws.append(chain.u)
        # The law of total covariance.
        centres = torch.stack(means)
        mean = centres.mean(0)
        apart = centres - mean
        second = torch.stack(seconds).mean(0) + torch.einsum("sci,scj->cij", apart, apart) / sweeps
        spread = steps @ second @ steps.T
        return Moments(mean @ steps.T, spread, torch.stack(draws, 1) @ steps.T)


class _Chain:
    """Gibbs sampling of (v, u), then w, given y = H u + sigma noise."""

    u: Tensor
    v: Tensor
    w: Tensor
    inverse: Tensor  # of H diag(v w) H* + sigma^2, (chains, m, m)

    def __init__(self, increments: Increments, h: Tensor, y: Tensor, sigma: Tensor) -> None:
        self.increments, self.h, self.y, self.sigma = increments, h, y, sigma

    def start(self, randomness: torch.Generator) -> None:
        """Variances from the prior, and every increment there."""
        like = torch.zeros(len(self.y), self.h.shape[1], dtype=torch.float64)
        self.v, self.w = torch.ones_like(like), self.increments.prior_variances(like, randomness)

    def sweep(self, randomness: torch.Generator) -> None:
        """One sweep."""
        # Beside a variance beyond this, the noise would be lost in rounding.
        self.w = torch.minimum(self.w, LARGEST * self.sigma[:, None] ** 2)
        scaled = self.h * (self.v * self.w)[:, None]
        noise = torch.diag_embed((self.sigma**2)[:, None].expand_as(self.y))
        self.inverse = torch.linalg.inv(scaled @ self.h.T + noise)
        if self.increments.active < 1:
            self._choose(randomness)
        self.u = self._increments(randomness)
        given = self.increments.variances(self.u, randomness)
        fresh = self.increments.prior_variances(self.u, randomness)
        self.last = self.v * self.w
        self.w = torch.where(self.v > 0, given, fresh)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of u given the v and w that the last sweep drew it from."""
        back = self.last[:, :, None] * (self.h.T @ self.inverse)  # V H* S^-1
        spread = torch.diag_embed(self.last) - back @ (self.h * self.last[:, None])
        return (back @ self.y[:, :, None])[..., 0], spread

    def _increments(self, randomness: torch.Generator) -> Tensor:
        """u given v and w: a draw of the prior, moved by what y says (Hoffman & Ribak 1991)."""
        variance = self.v * self.w
        u, noise = (
            torch.randn(x.shape, generator=randomness, dtype=x.dtype) for x in (variance, self.y)
        )
        u = variance.sqrt() * u
        gap = self.y - u @ self.h.T - self.sigma[:, None] * noise
        pulled: Tensor = variance * ((self.inverse @ gap[:, :, None])[..., 0] @ self.h)
        return u + pulled

    def _choose(self, randomness: torch.Generator) -> None:
        """v_k one by one given y and the others, u integrated out; S^-1 follows by rank one."""
        prior = self.increments.active / (1 - self.increments.active)
        shape = (self.h.shape[1], len(self.y))
        chance = torch.rand(shape, generator=randomness, dtype=torch.float64).logit()
        odds = torch.tensor(prior, dtype=torch.float64).log()
        for k in range(shape[0]):
            w, there = self.w[:, k], self.v[:, k]
            through = self.inverse @ self.h[:, k]
            q, z = through @ self.h[:, k], (through * self.y).sum(1)
            # Without increment k: q / c and z / c.
            c = 1 - there * w * q
            gain = 1 + w * q / c
            log_odds = odds - 0.5 * gain.log() + 0.5 * w * (z / c) ** 2 / gain
            now = (chance[k] < log_odds).double()
            change = (now - there) * w
            factor = change / (1 + change * q)
            self.inverse = self.inverse - (factor[:, None] * through)[:, :, None] * through[:, None]
            self.v[:, k] = now


class LevyDenoiser(Denoiser):
    """The denoiser of a prior with independent increments, by Gibbs sampling: exact but for the
    chain's length. The same x_t gives the same answer.

    Args:
        process: The forward process.
        prior: Of signals (1, d).
        warmup: Sweeps that are left out.
        sweeps: Sweeps that are kept.
    """

    def __init__(self, process: Process, prior: Levy, warmup: int = 20, sweeps: int = 40) -> None:
        super().__init__()
        self.process, self.prior = process, prior
        self.warmup, self.sweeps = warmup, sweeps

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        found = self._moments(x_t, t)
        variance = found.covariance.diagonal(dim1=1, dim2=2)
        return Posterior(*(v.reshape(x_t.shape).to(x_t.dtype) for v in (found.mean, variance)))

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        found = self._moments(x_t, t)

        def covariance(v: Tensor) -> Tensor:
            product = found.covariance @ v.flatten(1).double()[:, :, None]
            return product.reshape(v.shape).to(v.dtype)

        return found.mean.reshape(x_t.shape).to(x_t.dtype), covariance

    def _moments(self, x_t: Tensor, t: Tensor) -> Moments:
        alpha, level = self.process.alpha(t), self.process.noise_level(t)
        looked = (x_t.double() / expand(alpha, x_t.double())).flatten(1)
        return self.prior.posterior(
            torch.eye(self.prior.size, dtype=torch.float64),
            looked,
            level.double().expand(len(looked)),
            generator("levy"),
            warmup=self.warmup,
            sweeps=self.sweeps,
        )
