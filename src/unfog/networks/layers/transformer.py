"""The blocks of a transformer on tokens (batch, n, width), modulated by an embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu

from unfog.core.conditioning import Context
from unfog.networks.layers.attention import attend
from unfog.networks.layers.positions import Rotation, unchanged

MLP_RATIO = 4  # width of a gated perceptron's hidden layer over that of a token


def modulate(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens h (batch, n, width) to (1 + scale) h + shift, shift and scale (batch, width)."""
    return h * (1 + scale[:, None]) + shift[:, None]


def layer_norm(width: int, eps: float = 1e-6) -> nn.LayerNorm:
    """Layer normalisation without weights, which modulation brings."""
    return nn.LayerNorm(width, eps, elementwise_affine=False)


class TokenSelfAttention(nn.Module):
    """Self-attention (Vaswani et al. 2017) of tokens, W attend(R Q, R K, V), with R the rotation of
    rotary positions, or nothing; a mask says which tokens count (`attend`). ``bias`` says whether
    queries, keys and values have one.
    """

    def __init__(self, width: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias), nn.Linear(width, width)

    def forward(self, h: Tensor, rotate: Rotation, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(h).transpose(1, 2).chunk(3, 1)
        out: Tensor = self.out(attend(rotate(q), rotate(k), v, self.heads, mask).transpose(1, 2))
        return out


class TokenCrossAttention(nn.Module):
    """Cross-attention of tokens to those of the context, (batch, length, ``token_width``), which
    ``context.token_mask`` may hide. ``bias`` says whether queries, keys and values have one.
    """

    def __init__(self, width: int, heads: int, token_width: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias)
        self.kv = nn.Linear(token_width, 2 * width, bias)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, context: Context) -> Tensor:
        assert context.tokens is not None
        tokens = context.tokens.to(self.kv.weight.dtype)
        k, v = self.kv(tokens).transpose(1, 2).chunk(2, 1)
        q = self.q(h).transpose(1, 2)
        seen = attend(q, k, v, self.heads, context.token_mask)
        out: Tensor = self.out(seen.transpose(1, 2))
        return out


class GatedPerceptron(nn.Module):
    """A perceptron with a gated hidden layer, W (a gelu(b)), (a, b) = W' h (Shazeer 2020,
    arXiv:2002.05202), of tokens (batch, n, width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * MLP_RATIO * width)
        self.leave = nn.Linear(MLP_RATIO * width, width)

    def forward(self, h: Tensor) -> Tensor:
        value, gate = self.enter(h).chunk(2, -1)
        out: Tensor = self.leave(value * gelu(gate))
        return out


class AdaptiveBlock(nn.Module):
    """A transformer block with adaptive layer norm, adaLN-Zero (Peebles & Xie 2023): tokens h
    (batch, n, width) and embedding e (batch, width) to (batch, n, width),

        h <- h + g1 attention((1 + s1) norm(h) + b1),
        h <- h + cross-attention(h, tokens),
        h <- h + g2 mlp((1 + s2) norm(h) + b2),      (b1, s1, g1, b2, s2, g2) = W e,

    with cross-attention only where there are tokens, as in PixArt-alpha (Chen et al. 2023).

    Args:
        width: numbers of a token.
        heads: attention heads; they divide the width.
        mlp_width: width of the perceptron's hidden layer.
        token_width: width of ``context.tokens``; None without cross-attention.
        mlp_norm_eps: added to the variance by the normalisation ahead of the perceptron.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_width: int,
        token_width: int | None = None,
        mlp_norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(width, 6 * width)
        self.norm1, self.attention = layer_norm(width), TokenSelfAttention(width, heads)
        self.cross = None if token_width is None else TokenCrossAttention(width, heads, token_width)
        self.norm2 = layer_norm(width, mlp_norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width), nn.GELU("tanh"), nn.Linear(mlp_width, width)
        )

    def forward(self, h: Tensor, e: Tensor, context: Context, rotate: Rotation) -> Tensor:
        b1, s1, g1, b2, s2, g2 = self.project(e).chunk(6, 1)
        # Tokens look at each other, and at the context's.
        h = h + g1[:, None] * self.attention(modulate(self.norm1(h), b1, s1), rotate)
        if self.cross is not None:
            h = h + self.cross(h, context)
        # Each token alone.
        out: Tensor = h + g2[:, None] * self.mlp(modulate(self.norm2(h), b2, s2))
        return out


class TransformerBlock(nn.Module):
    """A transformer block that normalises first (Vaswani et al. 2017; Radford et al. 2019): tokens
    h (batch, n, width) to the same,

        h <- h + attention(norm(h)),     h <- h + mlp(norm(h)).

    Args:
        width: numbers of a token.
        heads: attention heads; they divide the width.
        mlp_width: width of the perceptron's hidden layer.
    """

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), TokenSelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width), nn.GELU(), nn.Linear(mlp_width, width)
        )

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        h = h + self.attention(self.norm1(h), unchanged, mask)
        out: Tensor = h + self.mlp(self.norm2(h))
        return out
