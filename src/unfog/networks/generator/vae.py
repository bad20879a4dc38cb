"""Variational autoencoders as models of data."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfog.core.random import Randomness, normal
from unfog.core.shapes import sum_per_sample
from unfog.networks.generator.generator import Generator, generators, joined
from unfog.networks.generator.maps import SLOPE, Down, Sizes, Up

CLAMP = (-20.0, 10.0)  # of a logarithm of a variance
GAIN = 10.0  # of the noise's logarithm, over its parameter


@dataclass(frozen=True)
class Bound:
    """The two sides of the evidence bound, in nats a sample, (batch,): log p(x) is at least -(nll +
    kl).

    Args:
        nll: E_q[-log p(x | z)], one draw of it.
        kl: KL(q(z | x) | p(z)).
    """

    nll: Tensor
    kl: Tensor


class Variational(Generator):
    """A generator with a bound on the likelihood.

    p(x | z) = N(mean(z), noise^2) with one learned noise (Rybkin et al. 2021, "sigma-VAE"): a fixed
    one is a weight of the reconstruction in disguise. A sample is the mean, plus ``spread`` times
    the noise: pictures are shown without it.

    Args:
        shape: Of a sample, (channels, *space).
        spread: The share of the noise in a sample.
    """

    def __init__(self, shape: Sequence[int], spread: float) -> None:
        super().__init__()
        self.shape, self.spread = tuple(shape), spread
        # In units in which Adam's small steps go far: the noise falls by orders of magnitude.
        self.level = nn.Parameter(torch.zeros(()))

    @property
    def log_noise(self) -> Tensor:
        """The logarithm of the noise."""
        return GAIN * self.level

    @abstractmethod
    def bound(self, x: Tensor, randomness: Randomness, label: Tensor | None = None) -> Bound:
        """The bound of x (batch, channels, *space), of the class ``label`` (batch,) where there are
        classes, z drawn with ``randomness``.
        """

    def forward(self, x: Tensor, randomness: Randomness, label: Tensor | None = None) -> Bound:
        return self.bound(x, randomness, label)

    def nll(self, x: Tensor, mean: Tensor) -> Tensor:
        """-log N(x; mean, noise^2), (batch,)."""
        error = (_exact(x - mean) / self.log_noise.exp()).square()
        return sum_per_sample(0.5 * (error + math.log(math.tau)) + self.log_noise)

    def shown(self, mean: Tensor, randomness: Sequence[torch.Generator]) -> Tensor:
        """A sample of its mean."""
        if not self.spread:
            return mean
        noise = normal(mean.shape, randomness, like=mean)
        return mean + self.spread * self.log_noise.exp() * noise


def divergence(mean: Tensor, logvar: Tensor, prior_mean: Tensor, prior_logvar: Tensor) -> Tensor:
    """KL(N(mean, e^logvar) | N(prior_mean, e^prior_logvar)) of diagonal Gaussians, (batch,)."""
    gap = (mean - prior_mean).square()
    inside = (logvar.exp() + gap) / prior_logvar.exp() + prior_logvar - logvar - 1
    return 0.5 * sum_per_sample(_exact(inside))


def _exact(x: Tensor) -> Tensor:
    """In float32 at least, whatever the network computes in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@generators.register("vae")
class VAE(Variational):
    """A VAE (Kingma & Welling 2014; Rezende et al. 2014): z ~ N(0, I), q(z | x) diagonal.

    Args:
        shape: Of a sample, (channels, *space).
        latent: Numbers of z.
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Residual blocks a level.
        spread: The share of the noise in a sample.
        classes: How many encoder and decoder are told; 0 for none.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 32,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        spread: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(shape, spread)
        sizes = Sizes(shape, channels, multipliers, blocks)
        self.latent, self.classes = latent, classes
        self.encoder: nn.Module = _Encoder(latent, sizes, classes)
        self.decoder: nn.Module = Up(latent + classes, sizes)

    def bound(self, x: Tensor, randomness: Randomness, label: Tensor | None = None) -> Bound:
        known = (x,) if label is None else (x, label)
        mean, logvar = _exact(self.encoder(*known)).chunk(2, 1)
        logvar = logvar.clamp(*CLAMP)
        z = mean + (0.5 * logvar).exp() * normal(mean.shape, randomness, like=mean)
        zero = torch.zeros_like(mean)
        decoded = self.decoder(joined(z, label, self.classes))
        return Bound(self.nll(x, decoded), divergence(mean, logvar, zero, zero))

    def draw(self, randomness: Sequence[torch.Generator], label: Tensor | None = None) -> Tensor:
        label = self.labels(randomness, label)
        z = normal((len(randomness), self.latent), randomness, like=self.log_noise)
        return self.shown(self.decoder(joined(z, label, self.classes)), randomness)


class _Encoder(nn.Module):
    """x to mean and log variance of q(z | x), (batch, 2 latent)."""

    def __init__(self, latent: int, sizes: Sizes, classes: int) -> None:
        super().__init__()
        self.down, self.classes = Down(sizes), classes
        points = sizes.widths[-1] * math.prod(sizes.grids[-1])
        self.leave = nn.Linear(points + classes, 2 * latent)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        h = leaky_relu(self.down(x)[-1], SLOPE).flatten(1)
        out: Tensor = self.leave(joined(h, label, self.classes))
        return out
