"""Codecs: the maps between a data set's natural units and the model's scale, or a latent space of
it, chosen by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.errors import InputError

codecs: Registry[Codec] = Registry("codec")


class Codec(ABC):
    """A map between natural units and what a model works on. Training encodes what a data set
    gives, sampling decodes what a sampler gives.

    Most are affine in each value: ``encode`` and ``decode`` are inverse to each other and keep the
    shape, and ``scale`` is the codec itself. One with a latent space (``runs.latent_codecs``) is
    neither; its ``scale`` is the affine map ahead of its encoder.
    """

    @property
    def scale(self) -> Codec:
        """The affine part, from natural units to [-1, 1]."""
        return self

    @property
    def affine(self) -> bool:
        """Whether it is affine in each value."""
        return self.scale is self

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape (channels, *space) of what a sample of this shape becomes."""
        return tuple(shape)

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Natural units to model scale."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Model scale to natural units."""


class LatentCodec(Codec):
    """A codec whose latents are learned: neither affine nor exact.

    Attributes:
        sha256: Of all that its latents depend on, so that they can be kept and a change be told.
    """

    sha256: str


@codecs.register("identity")
@dataclass(frozen=True)
class Identity(Codec):
    """The identity, for data that is on the model's scale already."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, x: Tensor) -> Tensor:
        return x


@codecs.register("range")
@dataclass(frozen=True)
class Range(Codec):
    """Scales [low, high] in natural units to [-1, 1]: 2 (x - low) / (high - low) - 1.

    >>> import torch
    >>> Range(0, 255).encode(torch.tensor([0.0, 255.0]))
    tensor([-1.,  1.])
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise InputError(f"A range codec needs low < high, got {self.low} and {self.high}.")

    def encode(self, x: Tensor) -> Tensor:
        return (x - self.low) * (2 / (self.high - self.low)) - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x + 1) * ((self.high - self.low) / 2) + self.low


@codecs.register("standard")
class Standard(Codec):
    """Shifts and scales each channel to mean 0 and deviation 1: (x - mean) / std. For data without
    a range, such as embeddings.

    Args:
        mean: Of each channel, or of all.
        std: The deviations, above zero.

    >>> import torch
    >>> Standard([1.0, 2.0], [1.0, 4.0]).encode(torch.tensor([[2.0, -2.0]]))
    tensor([[ 1., -1.]])
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = mean, std
        self._mean, self._std = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
        if not bool((self._std > 0).all()):
            raise InputError("A standard codec needs deviations above zero.")

    def encode(self, x: Tensor) -> Tensor:
        return (x - self._shaped(self._mean, x)) / self._shaped(self._std, x)

    def decode(self, x: Tensor) -> Tensor:
        return x * self._shaped(self._std, x) + self._shaped(self._mean, x)

    @staticmethod
    def _shaped(value: Tensor, x: Tensor) -> Tensor:
        return expand(value if value.ndim == 0 else value[None], x)
