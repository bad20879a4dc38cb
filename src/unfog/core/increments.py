"""Laws of increments that are mixtures of Gaussians over their variance, for signals that add
them up (``levy``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-10


class Increments(ABC):
    """The law of an increment, as a mixture of Gaussians over its variance w.

    Attributes:
        active: The probability that an increment is not 0.
    """

    active: float = 1.0

    @abstractmethod
    def prior_variances(self, like: Tensor, randomness: torch.Generator) -> Tensor:
        """w from its own law, shaped as ``like``."""

    @abstractmethod
    def variances(self, u: Tensor, randomness: torch.Generator) -> Tensor:
        """w given increments that are not 0, shaped as ``u``."""


@dataclass(frozen=True)
class Gaussian(Increments):
    """N(0, variance): Brownian motion."""

    variance: float = 1.0

    def prior_variances(self, like: Tensor, randomness: torch.Generator) -> Tensor:
        return torch.full_like(like, self.variance)

    def variances(self, u: Tensor, randomness: torch.Generator) -> Tensor:
        return torch.full_like(u, self.variance)


@dataclass(frozen=True)
class Laplace(Increments):
    """exp(-|u| / b) / (2 b): w is exponential of mean 2 b^2, and 1 / w given u inverse Gaussian
    (Park & Casella 2008).
    """

    b: float = 1.0

    def prior_variances(self, like: Tensor, randomness: torch.Generator) -> Tensor:
        return 2 * self.b**2 * torch.empty_like(like).exponential_(generator=randomness)

    def variances(self, u: Tensor, randomness: torch.Generator) -> Tensor:
        mean = 1 / (self.b * u.abs().clamp(min=TINY))
        return 1 / inverse_gaussian(mean, self.b**-2, randomness)


@dataclass(frozen=True)
class StudentT(Increments):
    """Student's t of so many degrees of freedom, times a scale: 1 / w is of a gamma law."""

    degrees: float = 3.0
    scale: float = 1.0

    def prior_variances(self, like: Tensor, randomness: torch.Generator) -> Tensor:
        return self._inverse_gamma(self.degrees, torch.zeros_like(like), randomness)

    def variances(self, u: Tensor, randomness: torch.Generator) -> Tensor:
        return self._inverse_gamma(self.degrees + 1, u**2, randomness)

    def _inverse_gamma(self, shape: float, square: Tensor, randomness: torch.Generator) -> Tensor:
        rate = (self.degrees * self.scale**2 + square) / 2
        gamma = torch._standard_gamma(torch.full_like(rate, shape / 2), generator=randomness)
        return rate / gamma.clamp(min=TINY)


@dataclass(frozen=True)
class BernoulliLaplace(Laplace):
    """0 but with the probability ``active``, and then Laplace's: signals constant in pieces."""

    active: float = 0.1


def inverse_gaussian(mean: Tensor, shape: float, randomness: torch.Generator) -> Tensor:
    """Draws of the inverse Gaussian law (Michael, Schucany & Haas 1976), without cancellation where
    the mean is large.

    Args:
        mean: Above 0, of any shape.
        shape: Lambda; the variance is mean^3 / lambda.
        randomness: The generator.

    Returns:
        Shaped as ``mean``.
    """
    z = torch.randn(mean.shape, generator=randomness, dtype=mean.dtype)
    r = mean * z**2 / (2 * shape)
    # The roots of the quadratic are mean / root and mean root.
    root = 1 + r + (2 * r + r**2).sqrt()
    first = torch.rand(mean.shape, generator=randomness, dtype=mean.dtype) < root / (1 + root)
    return torch.where(first, mean / root, mean * root)
