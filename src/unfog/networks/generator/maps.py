"""The maps that generators and critics are built of: down from samples, and up to them, on grids
of 1 to 3 axes or, without axes, on vectors.

There is no normalisation. A residual block begins as the identity, its last layer at zero, so that
deep stacks train without one (Zhang et al. 2019, "Fixup"; Huang et al. 2024 for GANs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from unfog.errors import InputError
from unfog.networks.layers.blocks import convolution

SLOPE = 0.2  # of the leaky rectifier


@dataclass(frozen=True)
class Sizes:
    """Levels of maps.

    Args:
        shape: Of a sample, (channels, *space).
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Residual blocks a level.
    """

    shape: Sequence[int]
    channels: int = 32
    multipliers: Sequence[int] = (1, 2, 4)
    blocks: int = 1

    def __post_init__(self) -> None:
        if min(self.channels, self.blocks, *self.multipliers) < 1 or not self.multipliers:
            raise InputError("The channels, multipliers and blocks of maps are at least 1.")

    @property
    def dims(self) -> int:
        """Axes of space; 0 for vectors."""
        return len(self.shape) - 1

    @property
    def widths(self) -> list[int]:
        """The channels of each level, the finest first."""
        return [self.channels * multiplier for multiplier in self.multipliers]

    @property
    def grids(self) -> list[tuple[int, ...]]:
        """The sides of each level's map; each half of the one before, rounded up."""
        sides = [tuple(self.shape[1:])]
        for _ in self.multipliers[1:]:
            sides.append(tuple(-(-side // 2) for side in sides[-1]))
        return sides


def layer(dims: int, before: int, after: int, size: int = 3, **options: Any) -> nn.Module:
    """A convolution, or of vectors a linear map."""
    if dims == 0:
        return nn.Linear(before, after)
    return convolution(dims, before, after, size, **options)


class Residual(nn.Module):
    """x + f(x) with two layers, the last at zero."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.first, self.second = (layer(dims, channels, channels) for _ in range(2))
        nn.init.zeros_(self.second.get_parameter("weight"))
        nn.init.zeros_(self.second.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(leaky_relu(self.first(leaky_relu(x, SLOPE)), SLOPE))
        return out


def stack(channels: int, sizes: Sizes) -> nn.Sequential:
    """The residual blocks of a level."""
    return nn.Sequential(*(Residual(channels, sizes.dims) for _ in range(sizes.blocks)))


class Down(nn.Module):
    """x (batch, channels, *space) to its maps, the finest first, (batch, width, *grid) each."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dims, widths = sizes.dims, sizes.widths
        stride: dict[str, Any] = {} if dims == 0 else {"stride": 2}
        self.enter = layer(dims, sizes.shape[0], widths[0])
        self.levels = nn.ModuleList(stack(width, sizes) for width in widths)
        self.shrink = nn.ModuleList(layer(dims, a, b, **stride) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.levels[0](self.enter(x))
        maps = [h]
        for shrink, level in zip(self.shrink, list(self.levels)[1:], strict=True):
            h = level(shrink(leaky_relu(h, SLOPE)))
            maps.append(h)
        return maps


class Grow(nn.Module):
    """A map to the next finer one: the nearest neighbour, then a layer."""

    def __init__(self, dims: int, before: int, after: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.layer = layer(dims, before, after)

    def forward(self, h: Tensor) -> Tensor:
        if self.grid:
            h = interpolate(h, size=self.grid, mode="nearest")
        out: Tensor = self.layer(leaky_relu(h, SLOPE))
        return out


class Up(nn.Module):
    """A vector z (batch, latent) to a sample (batch, channels, *space)."""

    def __init__(self, latent: int, sizes: Sizes) -> None:
        super().__init__()
        widths, grids = sizes.widths[::-1], sizes.grids[::-1]
        self.coarsest = (widths[0], *grids[0])
        points = 1
        for side in self.coarsest:
            points *= side
        self.enter = nn.Linear(latent, points)
        self.levels = nn.ModuleList(stack(width, sizes) for width in widths)
        self.grow = nn.ModuleList(
            Grow(sizes.dims, a, b, grid)
            for (a, b), grid in zip(pairwise(widths), grids[1:], strict=True)
        )
        self.leave = layer(sizes.dims, widths[-1], sizes.shape[0])

    def forward(self, z: Tensor) -> Tensor:
        h = self.levels[0](self.enter(z).view(len(z), *self.coarsest))
        for grow, level in zip(self.grow, list(self.levels)[1:], strict=True):
            h = level(grow(h))
        out: Tensor = self.leave(leaky_relu(h, SLOPE))
        return out
