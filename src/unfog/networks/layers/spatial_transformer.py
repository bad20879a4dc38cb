r"""The transformer on the positions of a feature map (Rombach et al. 2022): self-attention,
cross-attention to the context's tokens, and a gated perceptron.
"""

from __future__ import annotations

from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.normalisation import GroupNorm
from unfog.networks.layers.positions import unchanged
from unfog.networks.layers.transformer import (
    GatedPerceptron,
    TokenCrossAttention,
    TokenSelfAttention,
)

NORM_EPS = 1e-6  # of the normalisation ahead of all layers


class CrossTransformerBlock(nn.Module):
    """A layer of the transformer, which normalises first: h (batch, n, width) to the same,

        h <- h + attention(norm(h)),   h <- h + cross-attention(norm(h), tokens),
        h <- h + perceptron(norm(h)).

    Args:
        width: numbers of a position.
        heads: attention heads; they divide the width.
        token_width: width of ``context.tokens``; None without cross-attention.
    """

    def __init__(self, width: int, heads: int, token_width: int | None) -> None:
        super().__init__()
        self.norm1, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = TokenSelfAttention(width, heads, bias=False)
        self.norm2 = self.cross = None
        if token_width is not None:
            self.norm2 = nn.LayerNorm(width)
            self.cross = TokenCrossAttention(width, heads, token_width, bias=False)
        self.mlp = GatedPerceptron(width)

    def forward(self, h: Tensor, context: Context) -> Tensor:
        # Positions look at each other, and at the context's tokens.
        h = h + self.attention(self.norm1(h), unchanged)
        if self.norm2 is not None and self.cross is not None:
            h = h + self.cross(self.norm2(h), context)
        # Each position alone.
        out: Tensor = h + self.mlp(self.norm3(h))
        return out


class SpatialTransformer(nn.Module):
    """A residual branch on maps x (batch, channels, *space): x + W_out layers(W_in norm(x)), with
    the positions of the map as the transformer's sequence. It starts as nothing: W_out is zero.

    Args:
        channels: channels of the map.
        heads: attention heads; they divide the channels.
        layers: layers of the transformer.
        groups: groups of the normalisation.
        token_width: width of ``context.tokens``; None without cross-attention.

    Raises:
        InputError: The heads do not divide the channels.
    """

    def __init__(
        self, channels: int, heads: int, layers: int, groups: int, token_width: int | None
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(
                f"{channels} channels do not divide into {heads} heads; choose 'heads' that divide "
                "the width of their level."
            )
        self.norm = GroupNorm(groups, channels, NORM_EPS)
        self.enter, self.out = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.blocks = nn.ModuleList(
            CrossTransformerBlock(channels, heads, token_width) for _ in range(layers)
        )
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        h = self.enter(self.norm(x).flatten(2).transpose(1, 2))
        for block in self.blocks:
            h = block(h, context)
        out: Tensor = x + self.out(h).transpose(1, 2).reshape(x.shape)
        return out
