r"""Parametrisations: what a network's output stands for, as one linear rule

    x_0 = a out + b x_t,      x_t = alpha x_0 + sigma noise.

Noise, x_0, v, score, flow and EDM's F are six choices of (a, b); the training target is the same
rule solved for out. Stated this way round, every coefficient is finite at sigma = 0, and all but
those of noise and score at alpha = 0 as well.
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
    """A parametrisation x_0 = a out + b x_t of the denoiser by the network's output ``out``.

    alpha and sigma are float64 tensors (batch,). ``NetworkDenoiser`` calls ``input_scale`` and
    ``to_x0`` around its network, and the denoising objective takes its target from ``from_x0``.
    """

    @abstractmethod
    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of x_0 = a out + b x_t, each float64 (batch,), or (batch, channels) where channels
        differ.
        """

    def input_scale(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The factor on x_t before it enters the network, (batch,) or (batch, channels): Karras'
        c_in, and 1 unless a class says otherwise.
        """
        return torch.ones_like(alpha)

    def to_x0(self, out: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior mean of x_0 that an output stands for, a out + b x_t.

        Args:
            out: The network's output (batch, channels, *space).
            x_t: The noisy batch, of the same shape.
            alpha: The scale of the data in x_t, float64 (batch,).
            sigma: The standard deviation of the noise in x_t, float64 (batch,).

        Returns:
            E[x_0 | x_t], shaped as ``x_t``.
        """
        a, b = self.rule(alpha, sigma)
        return expand(a, out) * out + expand(b, x_t) * x_t

    def from_x0(self, x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The output that stands for x_0, (x_0 - b x_t) / a: the training target.

        Args:
            x0: Clean data (batch, channels, *space).
            x_t: The noisy batch, of the same shape.
            alpha: The scale of the data in x_t, float64 (batch,).
            sigma: The standard deviation of the noise in x_t, float64 (batch,), above 0.

        Returns:
            The target of the network's output, shaped as ``x_t``.
        """
        a, b = self.rule(alpha, sigma)
        return (x0 - expand(b, x_t) * x_t) / expand(a, x_t)


@predictions.register("noise")
@dataclass(frozen=True)
class Noise(Prediction):
    """Noise prediction (Ho et al. 2020): out = noise.

    x_0 = (x_t - sigma out) / alpha; not defined at alpha = 0.
    """

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -sigma / alpha, 1 / alpha


@predictions.register("x0")
@dataclass(frozen=True)
class X0(Prediction):
    """Data prediction, or x_0 prediction: out = x_0."""

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(alpha), torch.zeros_like(alpha)


@predictions.register("v")
@dataclass(frozen=True)
class V(Prediction):
    """Velocity, or v prediction (Salimans & Ho 2022): out = alpha noise - sigma x_0.

    x_0 = (alpha x_t - sigma out) / (alpha^2 + sigma^2), for processes that preserve the variance
    and for others.
    """

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        power = alpha**2 + sigma**2
        return -sigma / power, alpha / power


@predictions.register("score")
@dataclass(frozen=True)
class Score(Prediction):
    """Score prediction (Song & Ermon 2019): out = grad log p(x_t) = -noise / sigma.

    x_0 = (x_t + sigma^2 out) / alpha, Tweedie's formula (Robbins 1956; Efron 2011); not defined at
    alpha = 0.
    """

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return sigma**2 / alpha, 1 / alpha


@predictions.register("flow")
@dataclass(frozen=True)
class Flow(Prediction):
    """Flow prediction (Liu et al. 2023; Lipman et al. 2023): out = noise - x_0, the velocity
    dx_t / dt of rectified flow (alpha = 1 - t, sigma = t).

    x_0 = (x_t - sigma out) / (alpha + sigma).
    """

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -sigma / (alpha + sigma), 1 / (alpha + sigma)


@predictions.register("edm")
@dataclass(frozen=True)
class EDMF(Prediction):
    """EDM's preconditioning (Karras et al. 2022, eq. 7 and table 1): out = F of

        x_0 = c_skip x_t + c_out F(c_in x_t),
        c_skip = sigma_data^2 / (sigma^2 + sigma_data^2),
        c_out  = sigma sigma_data / sqrt(sigma^2 + sigma_data^2),
        c_in   = 1 / sqrt(sigma^2 + sigma_data^2),

    so that F has input and target of unit variance for data of standard deviation ``sigma_data``
    (one number, or one for each channel). In the rule x_0 = a out + b x_t

        a = c_out,      b = c_skip,      input_scale = c_in        for EDM's process, alpha = 1.

    For any other alpha they are taken at the noise level sigma / alpha of x_t / alpha: a = c_out,
    b = c_skip / alpha and input_scale = c_in / alpha, which is the code below. c_noise is the label
    ``log-sigma``.
    """

    sigma_data: float | Sequence[float] = 0.5

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma, data = self._by_channel(alpha, sigma)
        power = alpha**2 * data**2 + sigma**2  # the variance of x_t
        c_out, c_skip = sigma * data / power.sqrt(), alpha * data**2 / power
        return c_out, c_skip

    def input_scale(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        alpha, sigma, data = self._by_channel(alpha, sigma)
        return (alpha**2 * data**2 + sigma**2).rsqrt()

    def _by_channel(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha, sigma and sigma_data, shaped (batch, channels) where channels differ."""
        data = torch.as_tensor(self.sigma_data, dtype=alpha.dtype, device=alpha.device)
        return (alpha[..., None], sigma[..., None], data) if data.ndim else (alpha, sigma, data)
