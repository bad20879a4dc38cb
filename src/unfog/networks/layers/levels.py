"""Builders of a U-Net's levels, top first on the way down and bottom first on the way up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from unfog.networks.layers.attention import Attention, CrossAttention, SelfAttention
from unfog.networks.layers.blocks import Ascent, Descent, Stage

# (channels in, channels out, whether attention follows) to a step of a level
MakeStage = Callable[[int, int, bool], nn.Module]


@dataclass(frozen=True)
class StageFactory:
    """Makes a residual block with the attentions that follow it.

    Args:
        block: (channels in, channels out) to a residual block.
        head_dim: channels of an attention head; None for one head.
        groups: groups of the attention's normalisation.
        eps: added to the variance there.
        token_width: width of the tokens that cross-attention sees; None without it.
    """

    block: Callable[[int, int], nn.Module]
    head_dim: int | None
    groups: int
    eps: float
    token_width: int | None

    def __call__(self, size: int, out: int, attentive: bool) -> Stage:
        """A residual block from ``size`` to ``out`` channels, with attention if ``attentive``."""
        block, attentions = self.block(size, out), list[Attention]()
        if attentive:
            attentions.append(SelfAttention(out, self.head_dim, self.groups, self.eps))
            if self.token_width is not None:
                attentions.append(
                    CrossAttention(out, self.head_dim, self.groups, self.eps, self.token_width)
                )
        return Stage(block, attentions)


@dataclass(frozen=True)
class Level:
    """One level of a U-Net.

    Args:
        width: its channels.
        attentive: whether its blocks are followed by attention.
        blocks: its residual blocks on the way down; it has one more on the way up.
    """

    width: int
    attentive: bool
    blocks: int


def levels_down(
    stage: MakeStage,
    downsample: Callable[[int], nn.Module],
    channels: int,
    levels: Sequence[Level],
) -> tuple[list[Descent], list[int]]:
    """The levels on the way down.

    Args:
        stage: makes their blocks.
        downsample: channels to the step to the next level.
        channels: width of the first map.
        levels: the levels, the top first.

    Returns:
        The levels, the top first, and the widths of all maps kept for the way up: the first, each
        block's and each downsampling's.
    """
    down, skips, size = list[Descent](), [channels], channels
    for number, level in enumerate(levels):
        stages = []
        for _ in range(level.blocks):
            stages.append(stage(size, level.width, level.attentive))
            skips.append(level.width)
            size = level.width
        last = number + 1 == len(levels)
        down.append(Descent(stages, None if last else downsample(size)))
        if not last:
            skips.append(size)
    return down, skips


def levels_up(
    stage: MakeStage,
    upsample: Callable[[int], nn.Module],
    skips: Sequence[int],
    levels: Sequence[Level],
) -> list[Ascent]:
    """The levels on the way up; each block takes one map of the way down, the last first.

    Args:
        stage: makes their blocks.
        upsample: channels to the step to the level above.
        skips: widths of the maps of the way down, as ``levels_down`` gives them.
        levels: the levels, the top first.

    Returns:
        The levels, the bottom first.
    """
    up, size, skips = list[Ascent](), levels[-1].width, list(skips)
    for number, level in reversed(list(enumerate(levels))):
        stages = []
        for _ in range(level.blocks + 1):
            stages.append(stage(size + skips.pop(), level.width, level.attentive))
            size = level.width
        up.append(Ascent(stages, upsample(size) if number else None))
    return up
