"""The critic of a GAN."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfog.networks.generator.maps import SLOPE, Down, Sizes


class Critic(nn.Module):
    """x (batch, channels, *space) to a number each, (batch,): how real it looks.

    Args:
        shape: Of a sample, (channels, *space).
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Residual blocks a level.
    """

    def __init__(
        self, shape: Sequence[int], channels: int, multipliers: Sequence[int], blocks: int
    ) -> None:
        super().__init__()
        sizes = Sizes(shape, channels, multipliers, blocks)
        self.down = Down(sizes)
        self.leave = nn.Linear(sizes.widths[-1] * math.prod(sizes.grids[-1]), 1)

    def forward(self, x: Tensor) -> Tensor:
        verdict: Tensor = self.leave(leaky_relu(self.down(x)[-1], SLOPE).flatten(1))
        return verdict[:, 0]
