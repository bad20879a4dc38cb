r"""The U-Net of diffusion models, in 1, 2 or 3 dimensions (Ronneberger et al. 2015; Ho et al.
2020).

Residual blocks go down the levels and up again; each map on the way down is concatenated on the way
up:

    h_0 = conv(x),   h_(i+1) = block(h_i, e),   u_i = block([u_(i+1), h_i], e),
    out = conv(silu(norm(u_0))).

With channels 128, multipliers (1, 2, 2, 2), attention at 16 x 16 and modulation "add" it is DDPM's
network for CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.attention import Attention, CrossAttention, SelfAttention
from unfog.networks.layers.blocks import (
    Ascent,
    Descent,
    Downsample,
    ResidualBlock,
    Stage,
    Upsample,
    convolution,
    modulations,
)
from unfog.networks.layers.detail import Detail
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.normalisation import GroupNorm
from unfog.networks.layers.patches import crop, pad_to_multiple, positions, shuffle, unshuffle
from unfog.networks.registry import networks

_NOTHING = Context()


@networks.register("unet")
class UNet(nn.Module):
    """x (batch, in_channels, *space), label (batch,), context -> (batch, out_channels, *space), of
    any size.

    ``channels`` times each of ``multipliers`` is a level's width; it has ``blocks`` residual blocks
    down and one more up, with attention at ``attention_levels`` and, if ``middle_attention``, at
    the bottom, in heads of ``head_dim`` channels (None: one head). ``modulation``, "add" or
    "scale-shift", is how the label enters a block. Of the context it takes a vector of
    ``vector_width``, ``spatial_channels`` on the grid of x, and tokens of ``token_width`` by
    cross-attention; all that it is built for must be given. ``detail``, the data's standard
    deviation, adds each channel's `unfog.networks.layers.detail` in units of the noise. ``patch``
    moves patches into channels first; ``coordinates`` adds a position channel per axis, and waves
    of so many ``octaves``. ``downsample_padding`` 0 pads as DDPM's authors do; ``embedding_shift``
    is that of `unfog.networks.layers.embedding.sinusoids`. It starts as the zero function.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 2,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
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
        downsample_padding: int = 1,
        norm_eps: float = 1e-6,
        embedding_shift: float = 1.0,
    ) -> None:
        super().__init__()
        _check_sizes(attention_levels, multipliers, in_channels, out_channels, blocks, patch)
        self.dims, self.blocks, self.patch, self.coordinates, self.octaves = (
            dims,
            blocks,
            patch,
            coordinates,
            octaves,
        )
        self.vector_width, self.spatial_channels, self.token_width = (
            vector_width,
            spatial_channels,
            token_width,
        )
        width, volume = 4 * channels, patch**dims
        self.embedding = LabelEmbedding(channels, embedding_shift)
        self.vector = None if vector_width is None else nn.Linear(vector_width, width, bias=False)
        self.detail = None if detail is None else Detail(detail, dims)
        entering = in_channels * (1 + (detail is not None)) + spatial_channels
        self.enter = convolution(
            dims, entering * volume + dims * (1 + 2 * octaves) * coordinates, channels
        )

        block = partial(
            modulations.get(modulation),
            width=width,
            dims=dims,
            groups=groups,
            eps=norm_eps,
            dropout=dropout,
        )
        attentions = partial(
            _attentions, head_dim=head_dim, groups=groups, eps=norm_eps, token_width=token_width
        )
        stages = partial(_stages, block, attentions)
        widths = [
            (channels * multiplier, level in attention_levels)
            for level, multiplier in enumerate(multipliers)
        ]
        top, bottom = widths[0][0], widths[-1][0]
        self.feature_channels = [*(size for size, _ in widths), bottom]
        self.down, kept = _descents(
            stages,
            partial(Downsample, dims=dims, padding=downsample_padding),
            channels,
            widths,
            blocks,
        )
        self.middle = nn.ModuleList(
            stages([bottom], bottom, middle_attention) + stages([bottom], bottom, False)
        )
        self.up = _ascents(stages, partial(Upsample, dims=dims), kept, widths, blocks)
        self.norm = GroupNorm(groups, top, norm_eps)
        self.leave = convolution(dims, top, out_channels * volume)
        _initialise(self)

    def forward(self, x: Tensor, label: Tensor, context: Context = _NOTHING) -> Tensor:
        e, maps, h = self._descend(x, label, context)
        for level in self.up:
            h = level(h, maps, e, context)
        out: Tensor = self.leave(silu(self.norm(h)))
        if self.patch > 1:
            out = crop(shuffle(out, self.patch), x.shape[2:])
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = _NOTHING) -> list[Tensor]:
        """What the network sees in x: the last map of each level on the way down, then the
        bottom's, of ``feature_channels``.
        """
        _, maps, bottom = self._descend(x, label, context)
        # the first map entered, a level's last goes down
        ends = [self.blocks + level * (self.blocks + 1) for level in range(len(self.down))]
        return [*(maps[end] for end in ends), bottom]

    def _descend(
        self, x: Tensor, label: Tensor, context: Context
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """The embedding, every map on the way down, and the bottom."""
        self._check(x, context)
        e = self._embed(label, context)
        maps = [
            self.enter(
                self._input(
                    x if self.detail is None else torch.cat([x, self.detail(x, label)], 1), context
                )
            )
        ]
        for level in self.down:
            maps += level(maps[-1], e, context)
        h = maps[-1]
        for stage in self.middle:
            h = stage(h, e, context)
        return e, maps, h

    def _embed(self, label: Tensor, context: Context) -> Tensor:
        e = self.embedding(label)
        if self.vector is not None and context.vector is not None:
            e = e + self.vector(context.vector.to(self.vector.weight.dtype))
        return silu(e)

    def _input(self, x: Tensor, context: Context) -> Tensor:
        if context.spatial is not None:
            x = torch.cat([x, context.spatial.to(x.dtype)], 1)
        if self.patch > 1:
            x = unshuffle(pad_to_multiple(x, self.patch), self.patch)
        if self.coordinates:
            x = torch.cat(
                [x, positions(x.shape[2:], x, self.octaves).expand(len(x), -1, *x.shape[2:])], 1
            )
        return x.to(self.norm.weight.dtype)

    def _check(self, x: Tensor, context: Context) -> None:
        """Refuse a context other than the network was built for: a condition silently ignored is a
        wrong answer.
        """
        if x.ndim != self.dims + 2:
            raise InputError(
                f"A {self.dims}-D U-Net takes (batch, channels, {self.dims} axes), got the shape "
                f"{tuple(x.shape)}."
            )
        for name, built, given, axis in (
            ("vector", self.vector_width, context.vector, -1),
            ("spatial", self.spatial_channels or None, context.spatial, 1),
            ("tokens", self.token_width, context.tokens, -1),
        ):
            size = None if given is None else given.shape[axis]
            if built != size:
                raise InputError(
                    f"This U-Net was built for a context whose {name} has size {built}, and was "
                    f"given {size}."
                )


# Input widths, output width, with attention or not
Stages = Callable[[Sequence[int], int, bool], list[Stage]]
Widths = Sequence[tuple[int, bool]]  # per level: its width, and whether it has attention


def _check_sizes(attention_levels: Sequence[int], multipliers: Sequence[int], *sizes: int) -> None:
    if not set(attention_levels) <= set(range(len(multipliers))):
        raise InputError(
            f"attention_levels index the {len(multipliers)} multipliers from 0; got "
            f"{list(attention_levels)}."
        )
    if min(len(multipliers), *multipliers, *sizes) < 1:
        raise InputError(
            "A U-Net's channels, multipliers, blocks and patch must all be at least 1."
        )


def _attentions(
    size: int, head_dim: int | None, groups: int, eps: float, token_width: int | None
) -> list[Attention]:
    cross = (
        [] if token_width is None else [CrossAttention(size, head_dim, groups, eps, token_width)]
    )
    return [SelfAttention(size, head_dim, groups, eps), *cross]


def _stages(
    block: Callable[[int, int], nn.Module],
    attentions: Callable[[int], list[Attention]],
    sizes: Sequence[int],
    out: int,
    attentive: bool,
) -> list[Stage]:
    return [Stage(block(size, out), attentions(out) if attentive else []) for size in sizes]


def _descents(
    stages: Stages, down: Callable[[int], Downsample], size: int, widths: Widths, blocks: int
) -> tuple[nn.ModuleList, list[int]]:
    """The levels on the way down, and the widths of the maps they keep for the way up."""
    levels, kept = nn.ModuleList(), [size]
    for level, (out, attentive) in enumerate(widths):
        below = level + 1 < len(widths)
        levels.append(
            Descent(
                stages([size] + [out] * (blocks - 1), out, attentive), down(out) if below else None
            )
        )
        kept += [out] * (blocks + below)
        size = out
    return levels, kept


def _ascents(
    stages: Stages, up: Callable[[int], Upsample], kept: list[int], widths: Widths, blocks: int
) -> nn.ModuleList:
    """The levels on the way up, bottom first."""
    levels, size = nn.ModuleList(), widths[-1][0]
    for level, (out, attentive) in reversed(list(enumerate(widths))):
        sizes = [into + kept.pop() for into in [size] + [out] * blocks]
        levels.append(Ascent(stages(sizes, out, attentive), up(out) if level else None))
        size = out
    return levels


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
    for end in [*ends, unet.leave]:
        nn.init.zeros_(end.get_parameter("weight"))
