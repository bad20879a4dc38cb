r"""The U-Net of diffusion models, in 1, 2 or 3 dimensions (Ronneberger et al. 2015; Ho et al.
2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.networks.layers.attention import Attention
from unfog.networks.layers.blocks import (
    Ascent,
    Descent,
    Downsample,
    DownsampleBlock,
    ResidualBlock,
    Upsample,
    UpsampleBlock,
    convolution,
    modulations,
)
from unfog.networks.layers.checkpointing import Checkpointing
from unfog.networks.layers.checks import check_efficient, check_picture, check_sizes
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.inputs import InputFeatures
from unfog.networks.layers.levels import Level, StageFactory, levels_down, levels_up
from unfog.networks.layers.normalisation import GroupNorm
from unfog.networks.layers.patches import crop, shuffle
from unfog.networks.layers.shortcut import shortcut_factors, with_share
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks

MakeStep = Callable[[int], nn.Module]  # channels to a step between levels


@networks.register("unet")
class UNet(Network):
    """The network of a denoiser: x (batch, in_channels, *space) of any size, label (batch,) and
    context to (batch, out_channels, *space).

    Residual blocks go down the levels and up again; each map on the way down is concatenated on
    the way up. With e the embedding of the label,

        h_0 = conv(x),   h_(i+1) = block(h_i, e),   u_i = block([u_(i+1), h_i], e),
        out = conv(silu(norm(u_0))).

    With channels 128, multipliers (1, 2, 2, 2), attention at 16 x 16 and modulation "add" it is
    DDPM's network for CIFAR-10 (Ho et al. 2020); with ``halvings`` of 1, a ``skip_scale`` of
    1 / sqrt(2) and more blocks at lower levels Imagen's efficient one (Saharia et al. 2022,
    appendix B). It starts as the zero function. A context must hold all that the network is built
    for, and nothing else.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        dims: spatial axes, 1 to 3.
        channels: width of the first map; the label's embedding is 4 times as wide.
        multipliers: one a level, the top first: its width over ``channels``.
        blocks: residual blocks of a level on the way down, one number or one a level; it has one
            more on the way up.
        attention_levels: levels, from 0, whose blocks are followed by attention.
        middle_attention: whether there is attention at the bottom.
        head_dim: channels of an attention head; None for one head.
        groups: groups of the normalisation; they divide every level's width.
        dropout: share of values dropped in a block.
        modulation: how the embedding enters a block, "add" or "scale-shift".
        vector_width: width of ``context.vector``, added to the embedding; None without it.
        spatial_channels: channels of ``context.spatial``, on the grid of x; 0 without it.
        token_width: width of ``context.tokens``, seen by cross-attention; None without them.
        detail, patch, coordinates, octaves: see `unfog.networks.layers.inputs.InputFeatures`; the
            output's patches are moved back into pixels.
        shortcut: whether x, times a factor that is learned of the label, is added to the output. At
            the noisy end x is nearly the noise, which a narrow network of patches passes on badly.
        picture_shortcut: whether the first channels of ``context.spatial``, where it has any, are
            added likewise: an upsampler's small picture is most of its answer.
        halvings: strided convolutions ahead of the first block, so that none works on the grid of
            x; each is undone at the end, where the map that it took is added.
        skip_scale: factor of the maps of the way down where the way up takes them.
        resampling_blocks: whether the steps between levels are residual blocks, as in ADM (Dhariwal
            & Nichol 2021), and not convolutions.
        downsample_padding: see `unfog.networks.layers.blocks.Downsample`; 0 pads as DDPM's authors
            do.
        norm_eps: added to the variance by the normalisation.
        embedding_shift: see `unfog.networks.layers.embedding.sinusoids`.
        checkpointing: see `unfog.networks.layers.checkpointing.Checkpointing`.
    """

    kind = "U-Net"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 2,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int | Sequence[int] = 2,
        attention_levels: Sequence[int] = (1,),
        middle_attention: bool = True,
        head_dim: int | None = None,
        groups: int = 32,
        dropout: float = 0.0,
        modulation: str = "scale-shift",
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        detail: float | Sequence[float] | None = None,
        patch: int = 1,
        coordinates: bool = False,
        octaves: int = 0,
        shortcut: bool = False,
        picture_shortcut: bool = False,
        halvings: int = 0,
        skip_scale: float = 1.0,
        resampling_blocks: bool = False,
        downsample_padding: int = 1,
        norm_eps: float = 1e-6,
        embedding_shift: float = 1.0,
        checkpointing: bool = False,
    ) -> None:
        counts = [blocks] * len(multipliers) if isinstance(blocks, int) else list(blocks)
        check_sizes(attention_levels, multipliers, in_channels, out_channels, *counts, patch)
        check_efficient(multipliers, counts, halvings)
        width = 4 * channels
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
        )
        self.patch, self.coordinates, self.run = patch, coordinates, Checkpointing(checkpointing)
        self.skip_scale = skip_scale
        self.local = not (attention_levels or middle_attention or coordinates)

        # The embedding of the label, and the first convolution.
        self.embedding = LabelEmbedding(channels, width, embedding_shift)
        self.vector = None if vector_width is None else nn.Linear(vector_width, width, bias=False)
        self.input = InputFeatures(
            in_channels,
            dims,
            spatial_channels=spatial_channels,
            detail=detail,
            patch=patch,
            coordinates=coordinates,
            octaves=octaves,
        )
        self.enter = convolution(dims, self.input.channels, channels)

        # The levels, of residual blocks with attention.
        block = partial(
            modulations.get(modulation),
            width=width,
            dims=dims,
            groups=groups,
            eps=norm_eps,
            dropout=dropout,
        )
        stage = StageFactory(block, head_dim, groups, norm_eps, token_width)
        downsample = partial(Downsample, dims=dims, padding=downsample_padding)
        levels = [
            Level(channels * multiplier, number in attention_levels, count)
            for number, (multiplier, count) in enumerate(zip(multipliers, counts, strict=True))
        ]
        steps: tuple[MakeStep, MakeStep] = (downsample, partial(Upsample, dims=dims))
        if resampling_blocks:
            steps = (
                lambda size: DownsampleBlock(block(size, size), dims),
                lambda size: UpsampleBlock(block(size, size)),
            )
        self._build_levels(stage, steps, channels, levels, middle_attention)
        self.shrink = nn.ModuleList(downsample(channels) for _ in range(halvings))
        self.grow = nn.ModuleList(Upsample(channels, dims) for _ in range(halvings))

        # The last convolution.
        top = levels[0].width
        self.norm = GroupNorm(groups, top, norm_eps)
        self.leave = convolution(dims, top, out_channels * patch**dims)
        self.shortcut = shortcut_factors(width, in_channels, out_channels) if shortcut else None
        self.picture_shortcut: nn.Linear | None = None
        if picture_shortcut and spatial_channels:
            check_picture(spatial_channels, in_channels)
            self.picture_shortcut = shortcut_factors(width, in_channels, out_channels)
        _initialise(self)

    def _build_levels(
        self,
        stage: StageFactory,
        steps: tuple[MakeStep, MakeStep],
        channels: int,
        levels: Sequence[Level],
        middle_attention: bool,
    ) -> None:
        """The levels down, the bottom, and the levels up: ``down``, ``middle`` and ``up``."""
        bottom = levels[-1].width
        self.feature_channels = [*(level.width for level in levels), bottom]
        # Down, with the widths of the maps that the way up concatenates.
        down, skips = levels_down(stage, steps[0], channels, levels)
        self.down = cast(Sequence[Descent], nn.ModuleList(down))
        # The bottom: two blocks.
        self.middle = nn.ModuleList(
            [stage(bottom, bottom, middle_attention), stage(bottom, bottom, False)]
        )
        # Up.
        up = levels_up(stage, steps[1], skips, levels)
        self.up = cast(Sequence[Ascent], nn.ModuleList(up))

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        e, first = self._enter(x, label, context)
        # Down: the map after every block and after every downsampling is kept.
        h = first[-1]
        skips = [h]
        for descent in self.down:
            for stage in descent.stages:
                h = self.run(stage, h, e, context)
                skips.append(h)
            if descent.down is not None:
                h = descent.down(h, e)
                skips.append(h)
        # The bottom.
        for stage in self.middle:
            h = self.run(stage, h, e, context)
        # Up: every block takes the map kept last beside its own.
        for ascent in self.up:
            for stage in ascent.stages:
                h = self.run(stage, torch.cat([h, self.skip_scale * skips.pop()], 1), e, context)
            if ascent.up is not None:
                h = ascent.up(h, skips[-1].shape[2:], e)
        # The halvings ahead of the first block, undone.
        for grow, before in zip(self.grow, reversed(first[:-1]), strict=True):
            h = grow(h, before.shape[2:]) + self.skip_scale * before
        out: Tensor = self.leave(silu(self.norm(h)))
        if self.patch > 1:
            out = crop(shuffle(out, self.patch), x.shape[2:])
        if self.shortcut is not None:
            out = with_share(self.shortcut, out, x, e)
        if self.picture_shortcut is not None and context.spatial is not None:
            out = with_share(self.picture_shortcut, out, context.spatial[:, : x.shape[1]].to(x), e)
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the last map of each level on the way down, then the bottom's."""
        e, (*_, h) = self._enter(x, label, context)
        # The way down and the bottom of ``forward``.
        maps = []
        for descent in self.down:
            for stage in descent.stages:
                h = self.run(stage, h, e, context)
            maps.append(h)
            if descent.down is not None:
                h = descent.down(h, e)
        for stage in self.middle:
            h = self.run(stage, h, e, context)
        return [*maps, h]

    def _enter(self, x: Tensor, label: Tensor, context: Context) -> tuple[Tensor, list[Tensor]]:
        """The embedding (batch, 4 channels), and the first map (batch, channels, *space), followed
        by its halvings.
        """
        self.check(x, context)
        # The label's embedding, plus that of the context's vector.
        e = self.embedding(label)
        if self.vector is not None and context.vector is not None:
            e = e + self.vector(context.vector.to(self.vector.weight.dtype))
        maps = [self.enter(self.input(x, label, context).to(self.norm.weight.dtype))]
        for shrink in self.shrink:
            maps.append(shrink(maps[-1]))
        return silu(e), maps


def _initialise(unet: UNet) -> None:
    """Glorot's uniform weights and zero biases, as DDPM has them; the end of every branch and of
    the network starts at zero.
    """
    for module in unet.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    ends = [m.conv2 for m in unet.modules() if isinstance(m, ResidualBlock)]
    ends += [m.out for m in unet.modules() if isinstance(m, Attention)]
    ends += [end for end in (unet.shortcut, unet.picture_shortcut) if end is not None]
    for end in [*ends, unet.leave]:
        nn.init.zeros_(end.get_parameter("weight"))
