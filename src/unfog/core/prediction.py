r"""What a network outputs, as one linear rule.

    x_0 = a(t) out + b(t) x_t

Noise, x_0, v, score, flow and EDM's F are six choices of (a, b); the training target is the same
rule solved for out. Stated this way round, every coefficient is finite at sigma = 0, and all but
noise and score at alpha = 0 as well. v: Salimans & Ho 2022. Flow (velocity of x_t along t with
alpha = 1 - t, sigma = t): Liu et al. 2023. F: Karras et al. 2022.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.core.shapes import expand

predictions: Registry[Prediction] = Registry("prediction")


class Prediction(ABC):
    """A linear rule between the network's output, x_t and x_0; alpha and sigma are float64 tensors
    (batch,).
    """

    @abstractmethod
    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of x_0 = a out + b x_t, each (batch,), or (batch, channels) where channels
        differ.
        """

    def input_scale(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The factor on x_t before it enters the network."""
        return torch.ones_like(alpha)

    def to_x0(self, out: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior mean of x_0 that the output stands for."""
        a, b = self.rule(alpha, sigma)
        return expand(a, out) * out + expand(b, x_t) * x_t

    def from_x0(self, x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The output that stands for x_0: the training target. Needs sigma > 0."""
        a, b = self.rule(alpha, sigma)
        return (x0 - expand(b, x_t) * x_t) / expand(a, x_t)


@predictions.register("noise")
@dataclass(frozen=True)
class Noise(Prediction):
    """out = noise."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -sigma / alpha, 1 / alpha


@predictions.register("x0")
@dataclass(frozen=True)
class X0(Prediction):
    """out = x_0."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(alpha), torch.zeros_like(alpha)


@predictions.register("v")
@dataclass(frozen=True)
class V(Prediction):
    """out = alpha noise - sigma x_0."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        power = alpha**2 + sigma**2
        return -sigma / power, alpha / power


@predictions.register("score")
@dataclass(frozen=True)
class Score(Prediction):
    """out = grad log p(x_t) = -noise / sigma (Tweedie)."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return sigma**2 / alpha, 1 / alpha


@predictions.register("flow")
@dataclass(frozen=True)
class Flow(Prediction):
    """out = noise - x_0."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -sigma / (alpha + sigma), 1 / (alpha + sigma)


@predictions.register("edm")
@dataclass(frozen=True)
class EDMF(Prediction):
    """out = F, with input and output of unit variance for data of standard deviation
    ``sigma_data``: one, or one for each channel.
    """

    sigma_data: float | Sequence[float] = 0.5

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma, data = self._by_channel(alpha, sigma)
        power = alpha**2 * data**2 + sigma**2
        return sigma * data / power.sqrt(), alpha * data**2 / power

    def input_scale(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        alpha, sigma, data = self._by_channel(alpha, sigma)
        return (alpha**2 * data**2 + sigma**2).rsqrt()

    def _by_channel(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        data = torch.as_tensor(self.sigma_data, dtype=alpha.dtype, device=alpha.device)
        return (alpha[..., None], sigma[..., None], data) if data.ndim else (alpha, sigma, data)
