"""The critic of a GAN."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfog.networks.generator.maps import SLOPE, Down, Sizes


class Critic(nn.Module):
    """x (batch, channels, *space) to a number each, (batch,): how real it looks; with
    classes, as one of its own, of which each has a number (Mescheder et al. 2018, appendix).

    Args:
        shape: Of a sample, (channels, *space).
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Residual blocks a level.
        classes: How many there are; 0 for none.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        classes: int = 0,
    ) -> None:
        super().__init__()
        sizes = Sizes(shape, channels, multipliers, blocks)
        self.down = Down(sizes)
        self.leave = nn.Linear(sizes.widths[-1] * math.prod(sizes.grids[-1]), max(1, classes))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        verdict: Tensor = self.leave(leaky_relu(self.down(x)[-1], SLOPE).flatten(1))
        return verdict[:, 0] if label is None else verdict.gather(1, label.long()[:, None])[:, 0]
