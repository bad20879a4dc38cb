"""The generator of a GAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.random import normal
from unfog.networks.generator.generator import Generator, generators
from unfog.networks.generator.maps import Sizes, Up


@generators.register("upward")
class Upward(Generator):
    """x = G(z) of z ~ N(0, I), a number of maps upwards: the generator of a GAN.

    Args:
        shape: Of a sample, (channels, *space).
        latent: Numbers of z.
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Residual blocks a level.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 64,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.shape, self.latent = tuple(shape), latent
        self.up = Up(latent, Sizes(shape, channels, multipliers, blocks))

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.up(z)
        return x

    def draw(self, randomness: Sequence[torch.Generator]) -> Tensor:
        like = self.up.enter.weight
        drawn: Tensor = self(normal((len(randomness), self.latent), randomness, like=like))
        return drawn
