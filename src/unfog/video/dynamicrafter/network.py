r"""DynamiCrafter's U-Net (Xing et al. 2023, arXiv:2310.12190), which is VideoCrafter's (Chen et al.
2023, arXiv:2310.19512) with a cross-attention more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.blocks import Ascent, Descent, Downsample, Upsample, convolution
from unfog.networks.layers.checkpointing import Checkpointing
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.levels import Level, levels_down, levels_up
from unfog.networks.layers.normalisation import GroupNorm
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks
from unfog.video.dynamicrafter.layers import (
    EPS,
    ClipStage,
    Sizes,
    SpatialTransformer,
    TemporalConvolution,
    TemporalTransformer,
)


@networks.register("dynamicrafter")
class DynamiCrafter(Network):
    """The network of a denoiser of clips: x (batch, in_channels, frames, height, width), label
    (batch,) and context to (batch, out_channels, frames, height, width).

    A U-Net of pictures works on every frame, with convolutions and attention in time between its
    layers. The context's ``spatial`` is concatenated to x, its ``tokens`` are those of a text,
    which all frames see, and its ``decoupled`` tokens, (batch, frames length, width), are those
    of a picture, of which each frame sees its own by an attention beside that to the text.

    With the defaults, tokens and decoupled tokens of 1024 and 4 spatial channels it is the U-Net
    of the published models, but for the embedding of the frame rate, which is a condition here
    (`unfog.video.dynamicrafter.conditions.RateWaves`). It starts as the zero function.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        dims: axes of a clip, 3.
        channels: width of the first map; the label's embedding is 4 times as wide.
        multipliers: one a level, the top first: its width over ``channels``.
        blocks: residual blocks of a level on the way down; it has one more on the way up.
        attention_levels: levels, from 0, whose blocks are followed by transformers.
        head_dim: channels of an attention head.
        entry_heads: heads of the transformer in time on the first map.
        groups: groups of the normalisation; they divide every level's width.
        dropout: share of values dropped in convolutional blocks.
        gate: whether a learned gate weighs the attention to the decoupled tokens, as in the
            published model of 256 x 256 pixels alone.
        vector_width: width of ``context.vector``, that of the label's embedding, to which it is
            added; None without it.
        spatial_channels: channels of ``context.spatial``, on the grid of x; 0 without it.
        token_width: width of ``context.tokens``; None without them.
        decoupled_width: width of ``context.decoupled``; None without them.
        checkpointing: see `unfog.networks.layers.checkpointing.Checkpointing`.
    """

    kind = "DynamiCrafter"
    takes_dims = (3,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        channels: int = 320,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        blocks: int = 2,
        attention_levels: Sequence[int] = (0, 1, 2),
        head_dim: int = 64,
        entry_heads: int = 8,
        groups: int = 32,
        dropout: float = 0.0,
        gate: bool = False,
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        decoupled_width: int | None = None,
        checkpointing: bool = False,
    ) -> None:
        width = 4 * channels
        _check_sizes(vector_width, width, attention_levels, multipliers)
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
            decoupled_width=decoupled_width,
        )
        self.run, self.gate = Checkpointing(checkpointing), gate
        # The embedding of the label, the first convolution, and a first look at all frames.
        self.embedding = LabelEmbedding(channels, width, shift=0.0)
        self.enter = convolution(2, in_channels + spatial_channels, channels)
        self.first = TemporalTransformer(channels, entry_heads * head_dim, entry_heads, groups)
        # The levels.
        sizes = Sizes(width, head_dim, groups, dropout, token_width, decoupled_width, gate)
        levels = [
            Level(channels * multiplier, number in attention_levels, blocks)
            for number, multiplier in enumerate(multipliers)
        ]
        self._build_levels(partial(ClipStage, sizes=sizes), channels, levels)
        # The last convolution.
        top = levels[0].width
        self.norm, self.leave = GroupNorm(groups, top, EPS), convolution(2, top, out_channels)
        _initialise(self)

    def _build_levels(
        self, stage: partial[ClipStage], channels: int, levels: Sequence[Level]
    ) -> None:
        """The levels down, the bottom, and the levels up: ``down``, ``middle`` and ``up``."""
        bottom = levels[-1].width
        self.feature_channels = [*(level.width for level in levels), bottom]
        down, skips = levels_down(stage, partial(Downsample, dims=2), channels, levels)
        self.down = cast(Sequence[Descent], nn.ModuleList(down))
        self.middle = nn.ModuleList([stage(bottom, bottom, True), stage(bottom, bottom, False)])
        up = levels_up(stage, partial(Upsample, dims=2), skips, levels)
        self.up = cast(Sequence[Ascent], nn.ModuleList(up))

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        frames = x.shape[2]
        e, h = self._enter(x, label, context)
        # Down: the map after every block and after every downsampling is kept.
        skips = [h]
        for descent in self.down:
            for stage in descent.stages:
                h = self.run(stage, h, e, context, frames)
                skips.append(h)
            if descent.down is not None:
                h = descent.down(h)
                skips.append(h)
        # The bottom.
        for stage in self.middle:
            h = self.run(stage, h, e, context, frames)
        # Up: every block takes the map kept last beside its own.
        for ascent in self.up:
            for stage in ascent.stages:
                h = self.run(stage, torch.cat([h, skips.pop()], 1), e, context, frames)
            if ascent.up is not None:
                h = ascent.up(h, skips[-1].shape[2:])
        return _clips(self.leave(silu(self.norm(h))), frames)

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the last map of each level on the way down, then the bottom's."""
        frames = x.shape[2]
        e, h = self._enter(x, label, context)
        # The way down and the bottom of ``forward``.
        maps = []
        for descent in self.down:
            for stage in descent.stages:
                h = self.run(stage, h, e, context, frames)
            maps.append(h)
            if descent.down is not None:
                h = descent.down(h)
        for stage in self.middle:
            h = self.run(stage, h, e, context, frames)
        return [_clips(one, frames) for one in (*maps, h)]

    def _enter(self, x: Tensor, label: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """The activated embedding of every frame (batch frames, 4 channels), and the first map
        (batch frames, channels, height, width).
        """
        self.check(x, context)
        frames = x.shape[2]
        e = self.embedding(label)
        if context.vector is not None:
            e = e + context.vector.to(e.dtype)
        if context.spatial is not None:
            x = torch.cat([x, context.spatial.to(x.dtype)], 1)
        h = self.enter(x.transpose(1, 2).flatten(0, 1).to(self.norm.weight.dtype))
        return silu(e).repeat_interleave(frames, 0), self.first(h, frames)


def _clips(h: Tensor, frames: int) -> Tensor:
    """Maps (batch frames, channels, height, width) as (batch, channels, frames, height, width)."""
    return h.view(-1, frames, *h.shape[1:]).transpose(1, 2)


def _check_sizes(
    vector_width: int | None, width: int, levels: Sequence[int], multipliers: Sequence[int]
) -> None:
    """``InputError`` for a vector of another width, and for levels that are not there."""
    if vector_width not in (None, width):
        raise InputError(
            f"A DynamiCrafter's vector_width is 4 times its channels, {width}, since the vector is "
            f"added to the label's embedding; got {vector_width}."
        )
    if not set(levels) <= set(range(len(multipliers))):
        raise InputError(
            f"attention_levels index the {len(multipliers)} multipliers from 0; got {list(levels)}."
        )


def _initialise(network: DynamiCrafter) -> None:
    """As the authors: torch's own weights, and zeros at the end of every branch."""
    ends: list[nn.Module] = [network.leave]
    for module in network.modules():
        if isinstance(module, SpatialTransformer | TemporalTransformer):
            ends.append(module.leave)
        if isinstance(module, TemporalConvolution):
            ends.append(cast(nn.Sequential, module.layers[-1])[-1])
        if isinstance(module, ClipStage):
            ends.append(module.block.conv2)
    for end in ends:
        nn.init.zeros_(end.get_parameter("weight"))
        nn.init.zeros_(end.get_parameter("bias"))
