r"""The query transformer: learned queries that gather from the tokens of a picture what the frames
of a clip are told of it (Jaegle et al. 2021, arXiv:2103.03206; Alayrac et al. 2022,
arXiv:2204.14198; Xing et al. 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.networks.layers.attention import attend


class QueryAttention(nn.Module):
    """Attention of queries to tokens and to themselves, after normalisation of both: tokens
    (batch, n, width) and queries (batch, m, width) to (batch, m, width).
    """

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q = nn.Linear(width, inner, bias=False)
        self.kv = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor, queries: Tensor) -> Tensor:
        own = self.norm2(queries)
        q = self.q(own).transpose(1, 2)
        k, v = self.kv(torch.cat([self.norm1(tokens), own], 1)).transpose(1, 2).chunk(2, 1)
        out: Tensor = self.out(attend(q, k, v, self.heads).transpose(1, 2))
        return out


class QueryBlock(nn.Module):
    """One layer: queries q <- q + attention(tokens, q), then q <- q + mlp(norm(q))."""

    def __init__(self, width: int, heads: int, head_dim: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attention = QueryAttention(width, heads, head_dim)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, mlp_ratio * width, bias=False),
            nn.GELU(),
            nn.Linear(mlp_ratio * width, width, bias=False),
        )

    def forward(self, tokens: Tensor, queries: Tensor) -> Tensor:
        queries = queries + self.attention(tokens, queries)
        out: Tensor = queries + self.mlp(queries)
        return out


class QueryTransformer(nn.Module):
    """Tokens of a picture, (batch, n, size), to the tokens that the frames of a clip see of it,
    (batch, frames queries, out_width), those of the first frame first:

        q_0 = learned,   q_(i+1) = block(W tokens, q_i),   out = norm(W' q).

    The defaults are those of the published models, 48,787,456 parameters.

    Args:
        size: numbers of a token of the picture.
        out_width: numbers of a token of the answer.
        width: numbers of a query.
        depth: number of layers.
        heads: attention heads.
        head_dim: channels of a head.
        queries: tokens of the answer for each frame.
        frames: frames of a clip.
        mlp_ratio: width of a layer's perceptron over ``width``.
    """

    def __init__(
        self,
        size: int = 1280,
        out_width: int = 1024,
        *,
        width: int = 1024,
        depth: int = 4,
        heads: int = 12,
        head_dim: int = 64,
        queries: int = 16,
        frames: int = 16,
        mlp_ratio: int = 4,
    ) -> None:
        super().__init__()
        if min(size, out_width, width, depth, heads, head_dim, queries, frames, mlp_ratio) < 1:
            raise InputError("The sizes of a query transformer must all be at least 1.")
        self.frames, self.queries = frames, nn.Parameter(torch.empty(frames * queries, width))
        self.enter, self.leave = nn.Linear(size, width), nn.Linear(width, out_width)
        blocks = [QueryBlock(width, heads, head_dim, mlp_ratio) for _ in range(depth)]
        self.blocks = cast(Sequence[QueryBlock], nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(out_width)
        nn.init.normal_(self.queries, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.enter(tokens.to(self.enter.weight.dtype))
        queries = self.queries.expand(len(tokens), -1, -1)
        for block in self.blocks:
            queries = block(tokens, queries)
        out: Tensor = self.norm(self.leave(queries))
        return out
