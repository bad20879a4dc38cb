"""The layers of DynamiCrafter's U-Net (Xing et al. 2023, arXiv:2310.12190; Chen et al. 2023,
arXiv:2310.19512). Space is worked on in all frames alike, and time at all places alike.

A map is (batch frames, channels, height, width), the frames of a clip one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.attention import attend
from unfog.networks.layers.blocks import AddBlock
from unfog.networks.layers.normalisation import GroupNorm
from unfog.networks.layers.positions import unchanged
from unfog.networks.layers.transformer import GatedPerceptron, TokenSelfAttention

EPS = 1e-5  # of the normalisation ahead of convolutions
TRANSFORMER_EPS = 1e-6  # of that ahead of transformers


@dataclass(frozen=True)
class Sizes:
    """What all layers of a network have in common.

    Args:
        width: width of the label's embedding.
        head_dim: channels of an attention head.
        groups: groups of the normalisation.
        dropout: share of values dropped in convolutional blocks.
        token_width: width of ``context.tokens``; None without them.
        decoupled_width: width of ``context.decoupled``; None without them.
        gate: whether the second of the two is weighted by a learned gate.
    """

    width: int
    head_dim: int
    groups: int
    dropout: float
    token_width: int | None
    decoupled_width: int | None
    gate: bool

    def heads(self, channels: int) -> int:
        """Attention heads of a map; ``InputError`` where its channels do not divide into them."""
        if channels % self.head_dim:
            raise InputError(
                f"{channels} channels do not divide into heads of {self.head_dim}; choose a "
                "'head_dim' that does at every level."
            )
        return channels // self.head_dim


def _clips(h: Tensor, frames: int) -> Tensor:
    """Maps (batch frames, channels, *space) as clips, (batch, channels, frames, places)."""
    return h.flatten(2).view(-1, frames, h.shape[1], h[0, 0].numel()).transpose(1, 2)


class TemporalConvolution(nn.Module):
    """Four convolutions over three frames each (Wang et al. 2023, arXiv:2308.06571), on maps of
    clips with ``frames`` frames each:

        h + conv(silu(norm( ... conv(silu(norm(h))) ... ))).

    The last starts at zero, so the block starts as the identity.
    """

    def __init__(self, channels: int, groups: int, dropout: float) -> None:
        super().__init__()
        layers = []
        for number in range(4):
            # (time, all places of a frame) are the two axes of the convolution.
            layers.append(
                nn.Sequential(
                    GroupNorm(groups, channels, EPS),
                    nn.SiLU(),
                    nn.Dropout(dropout if number else 0.0),
                    nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
                )
            )
        self.layers = nn.Sequential(*layers)

    def forward(self, h: Tensor, frames: int) -> Tensor:
        # (batch frames, channels, height, width) to (batch, channels, frames, places) and back.
        clip = _clips(h, frames)
        out: Tensor = self.layers(clip).transpose(1, 2)
        return h + out.reshape(h.shape)


class DecoupledAttention(nn.Module):
    """Two cross-attentions with the same queries (Ye et al. 2023, arXiv:2308.06721): to the
    context's tokens, which all frames of a clip share, and to its decoupled tokens, of which each
    frame has its own,

        W (attend(Q, K, V) + g attend(Q, K', V')),    g = 1, or tanh(gate) + 1 where it is learned.

    Args:
        width: numbers of a token of the map.
        heads: attention heads; they divide the width.
        sizes: the widths of the context's tokens, one of them None at most.
    """

    def __init__(self, width: int, heads: int, sizes: Sizes) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.kv, self.decoupled_kv = (
            None if size is None else nn.Linear(size, 2 * width, bias=False)
            for size in (sizes.token_width, sizes.decoupled_width)
        )
        self.gate = nn.Parameter(torch.zeros(())) if sizes.gate else None

    def forward(self, h: Tensor, context: Context, frames: int) -> Tensor:
        q, seen = self.q(h).transpose(1, 2), torch.zeros((), dtype=h.dtype, device=h.device)
        if self.kv is not None and context.tokens is not None:
            # The queries of all frames in one row, since they see the same tokens.
            k, v = _keys_and_values(self.kv, context.tokens)
            row = _clips(q, frames).flatten(2)
            text = attend(row, k, v, self.heads, context.token_mask)
            seen = text.view(*text.shape[:2], frames, -1).transpose(1, 2).reshape(q.shape)
        if self.decoupled_kv is not None and context.decoupled is not None:
            own = _by_frame(context.decoupled, frames)
            image = attend(q, *_keys_and_values(self.decoupled_kv, own), self.heads)
            seen = seen + (image if self.gate is None else image * (self.gate.tanh() + 1))
        out: Tensor = self.out(seen.transpose(1, 2))
        return out


def _keys_and_values(layer: nn.Linear, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (batch, channels, length) of tokens (batch, length, width)."""
    k, v = layer(tokens.to(layer.weight.dtype)).transpose(1, 2).chunk(2, 1)
    return k, v


def _by_frame(tokens: Tensor, frames: int) -> Tensor:
    """The tokens of clips, (batch, frames length, width), as those of each frame; ``InputError``
    where they do not divide into the frames.
    """
    if tokens.shape[1] % frames:
        raise InputError(
            f"The {tokens.shape[1]} tokens of a picture are not those of {frames} frames; take "
            "clips with as many frames as the model was built for."
        )
    return tokens.reshape(len(tokens) * frames, -1, tokens.shape[2])


class SpatialTransformer(nn.Module):
    """A transformer block over the places of each frame: the places see each other, then what the
    context holds for them, then each is mapped alone; all added to the map,

        h + W block(W' norm(h)).

    Args:
        channels: channels of the map.
        sizes: of the network.
    """

    def __init__(self, channels: int, sizes: Sizes) -> None:
        super().__init__()
        heads = sizes.heads(channels)
        self.norm = GroupNorm(sizes.groups, channels, TRANSFORMER_EPS)
        self.enter, self.leave = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.norm1, self.attention = (
            nn.LayerNorm(channels),
            TokenSelfAttention(channels, heads, False),
        )
        told = sizes.token_width is not None or sizes.decoupled_width is not None
        self.norm2 = nn.LayerNorm(channels) if told else None
        self.cross = DecoupledAttention(channels, heads, sizes) if told else None
        self.norm3, self.mlp = nn.LayerNorm(channels), GatedPerceptron(channels)

    def forward(self, h: Tensor, context: Context, frames: int) -> Tensor:
        tokens = self.enter(self.norm(h).flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(self.norm1(tokens), unchanged)
        if self.norm2 is not None and self.cross is not None:
            tokens = tokens + self.cross(self.norm2(tokens), context, frames)
        tokens = tokens + self.mlp(self.norm3(tokens))
        out: Tensor = self.leave(tokens)
        return h + out.transpose(1, 2).reshape(h.shape)


class TemporalTransformer(nn.Module):
    """A transformer block over the frames at each place, with two self-attentions; it knows no
    order of the frames, which convolutions tell.

    Args:
        channels: channels of the map.
        width: numbers of a token.
        heads: attention heads; they divide the width.
        groups: groups of the normalisation.
    """

    def __init__(self, channels: int, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, TRANSFORMER_EPS)
        self.enter, self.leave = nn.Linear(channels, width), nn.Linear(width, channels)
        self.norm1, self.attention = nn.LayerNorm(width), TokenSelfAttention(width, heads, False)
        self.norm2, self.again = nn.LayerNorm(width), TokenSelfAttention(width, heads, False)
        self.norm3, self.mlp = nn.LayerNorm(width), GatedPerceptron(width)

    def forward(self, h: Tensor, frames: int) -> Tensor:
        # The normalisation is of whole clips, (batch, channels, frames, places).
        clip = _clips(h, frames)
        # (batch, channels, frames, places) to (batch places, frames, channels).
        tokens = self.enter(self.norm(clip).permute(0, 3, 2, 1).flatten(0, 1))
        tokens = tokens + self.attention(self.norm1(tokens), unchanged)
        tokens = tokens + self.again(self.norm2(tokens), unchanged)
        tokens = self.leave(tokens + self.mlp(self.norm3(tokens)))
        # And back to the map.
        back: Tensor = tokens.view(len(clip), -1, *tokens.shape[1:]).permute(0, 2, 3, 1)
        return h + back.reshape(h.shape)


class ClipStage(nn.Module):
    """One step of a level: a residual block in space, a convolution in time and, where it is
    attentive, a transformer in space and one in time.

    Args:
        in_channels: channels of the map.
        out_channels: channels of what becomes of it.
        attentive: whether there are transformers.
        sizes: of the network.
    """

    def __init__(self, in_channels: int, out_channels: int, attentive: bool, sizes: Sizes) -> None:
        super().__init__()
        self.block = AddBlock(
            in_channels, out_channels, sizes.width, 2, sizes.groups, EPS, sizes.dropout
        )
        self.temporal = TemporalConvolution(out_channels, sizes.groups, sizes.dropout)
        self.space = SpatialTransformer(out_channels, sizes) if attentive else None
        self.time = None
        if attentive:
            heads = sizes.heads(out_channels)
            self.time = TemporalTransformer(out_channels, out_channels, heads, sizes.groups)

    def forward(self, h: Tensor, e: Tensor, context: Context, frames: int) -> Tensor:
        h = self.temporal(self.block(h, e), frames)
        if self.space is not None and self.time is not None:
            h = self.time(self.space(h, context, frames), frames)
        return h
