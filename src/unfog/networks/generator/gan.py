"""The generator of a GAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.random import normal
from unfog.networks.generator.generator import Generator, generators, joined
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
        classes: How many are told apart, beside z; 0 for none.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 64,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.latent, self.classes = tuple(shape), latent, classes
        self.up = Up(latent + classes, Sizes(shape, channels, multipliers, blocks))

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.up(z)
        return x

    def draw(self, randomness: Sequence[torch.Generator], label: Tensor | None = None) -> Tensor:
        label = self.labels(randomness, label)
        z = normal((len(randomness), self.latent), randomness, like=self.up.enter.weight)
        drawn: Tensor = self(joined(z, label, self.classes))
        return drawn
