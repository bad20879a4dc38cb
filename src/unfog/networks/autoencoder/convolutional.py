"""The convolutional encoder and decoder of latent diffusion (Esser et al. 2021; Rombach et al.
2022), in 1, 2 or 3 dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.networks.layers.attention import SelfAttention
from unfog.networks.layers.blocks import Downsample, Upsample, convolution
from unfog.networks.layers.checkpointing import Checkpointing
from unfog.networks.layers.normalisation import GroupNorm

_NOTHING = Context()


@dataclass(frozen=True)
class Sizes:
    """The sizes of an encoder and its decoder.

    Args:
        dims: spatial axes, 1 to 3.
        channels: width of the finest map.
        multipliers: one a level, the finest first: its width over ``channels``.
        blocks: residual blocks a level of the encoder; the decoder has one more.
        groups: groups of the normalisation; they divide every level's width.
        checkpointing: whether inner maps are computed again in the backward pass.
    """

    dims: int = 2
    channels: int = 128
    multipliers: Sequence[int] = (1, 2, 4)
    blocks: int = 2
    groups: int = 32
    checkpointing: bool = False

    @property
    def widths(self) -> list[int]:
        """The width of each level, the finest first."""
        return [self.channels * multiplier for multiplier in self.multipliers]


class Block(nn.Module):
    """A residual block without an embedding, x + conv(silu(norm(conv(silu(norm(x)))))).

    Args:
        in_channels: channels of x, (batch, in_channels, *space).
        out_channels: channels of the output; where they differ the skip is a 1 x 1 convolution.
        dims: spatial axes, 1 to 3.
        groups: groups of the normalisation; they divide both channels.
    """

    def __init__(self, in_channels: int, out_channels: int, dims: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels)
        self.conv1 = convolution(dims, in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels)
        self.conv2 = convolution(dims, out_channels, out_channels)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else convolution(dims, in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        out: Tensor = self.skip(x) + self.conv2(silu(self.norm2(h)))
        return out


class Middle(nn.Module):
    """The coarsest level: a block, attention over all positions, and a block."""

    def __init__(self, channels: int, dims: int, groups: int) -> None:
        super().__init__()
        self.block1 = Block(channels, channels, dims, groups)
        self.attention = SelfAttention(channels, None, groups, 1e-6)
        self.block2 = Block(channels, channels, dims, groups)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block2(self.attention(self.block1(x), _NOTHING))
        return out


class Encoder(nn.Module):
    """x (batch, in_channels, *space) to (batch, out_channels, *space / 2^(levels - 1)): blocks and
    a strided convolution a level, attention at the bottom.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        sizes: levels, widths and blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, sizes: Sizes) -> None:
        super().__init__()
        self.run = Checkpointing(sizes.checkpointing)
        dims, groups, widths = sizes.dims, sizes.groups, sizes.widths
        self.enter = convolution(dims, in_channels, sizes.channels)
        steps: list[nn.Module] = []
        size = sizes.channels
        for level, width in enumerate(widths):
            for _ in range(sizes.blocks):
                steps.append(Block(size, width, dims, groups))
                size = width
            if level + 1 < len(widths):
                steps.append(Downsample(width, dims, padding=0))
        self.down = nn.ModuleList(steps)
        self.middle = Middle(size, dims, groups)
        self.norm = GroupNorm(groups, size)
        self.leave = convolution(dims, size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for step in [*self.down, self.middle]:
            h = self.run(step, h)
        out: Tensor = self.leave(silu(self.norm(h)))
        return out


class Decoder(nn.Module):
    """z (batch, in_channels, *space) to (batch, out_channels, *2^(levels - 1) space): attention at
    the bottom, then blocks and an upsampling a level.

    Args:
        in_channels: channels of z.
        out_channels: channels of the output.
        sizes: levels, widths and blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, sizes: Sizes) -> None:
        super().__init__()
        self.run = Checkpointing(sizes.checkpointing)
        dims, groups, widths = sizes.dims, sizes.groups, sizes.widths
        size = widths[-1]
        self.enter = convolution(dims, in_channels, size)
        self.middle = Middle(size, dims, groups)
        steps: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(sizes.blocks + 1):
                steps.append(Block(size, width, dims, groups))
                size = width
            if level:
                steps.append(Upsample(width, dims))
        self.up = nn.ModuleList(steps)
        self.norm = GroupNorm(groups, size)
        self.leave = convolution(dims, size, out_channels)

    def forward(self, z: Tensor) -> Tensor:
        h = self.run(self.middle, self.enter(z))
        for step in self.up:
            if isinstance(step, Upsample):
                h = self.run(step, h, [2 * side for side in h.shape[2:]])
            else:
                h = self.run(step, h)
        out: Tensor = self.leave(silu(self.norm(h)))
        return out
