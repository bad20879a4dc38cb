r"""Attention over the positions of a feature map (Vaswani et al. 2017).

Channels stay first throughout, so nothing is transposed on the way in or out. Plain batched
products are twice as fast in bfloat16 on a CPU, at the few heads used here, as the fused kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.normalisation import GroupNorm


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Multi-head scaled dot-product attention, out = V softmax(K^T Q / sqrt(d)), with columns as
    positions and d the channels of a head.

    Args:
        q: queries, (batch, channels, n).
        k: keys, (batch, channels, m).
        v: values, (batch, channels, m).
        heads: number of heads; it divides the channels.
        mask: (batch, m), True where a key counts, or (batch, n, m), where it counts for a query;
            None where all do.

    Returns:
        (batch, channels, n); zero where no key counts.
    """
    # Heads into the batch.
    q, k, v = (p.reshape(p.shape[0] * heads, -1, p.shape[-1]) for p in (q, k, v))
    scores = torch.bmm(q.transpose(1, 2) * q.shape[1] ** -0.5, k)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        # The second factor makes rows zero in which no key counts.
        counts = (mask if mask.ndim == 3 else mask[:, None]).bool().repeat_interleave(heads, 0)
        weights = scores.masked_fill(~counts, torch.finfo(scores.dtype).min).softmax(-1) * counts
    out = torch.bmm(v, weights.to(v.dtype).transpose(1, 2))
    return out.reshape(q.shape[0] // heads, -1, q.shape[-1])


class Attention(nn.Module):
    """The base of self- and cross-attention: a residual branch, x + W attend(Q, K, V), on maps
    (batch, channels, *space).

    Args:
        channels: channels of the map.
        head_dim: channels of a head; None for one head.
        groups: groups of the normalisation ahead of the branch.
        eps: added to the variance there.
    """

    def __init__(self, channels: int, head_dim: int | None, groups: int, eps: float) -> None:
        super().__init__()
        if head_dim is not None and (head_dim < 1 or channels % head_dim):
            raise InputError(
                f"{channels} channels do not divide into heads of {head_dim}; choose a "
                "'head_dim' that does at every level."
            )
        self.heads = channels // (head_dim or channels)
        self.norm = GroupNorm(groups, channels, eps)
        self.out = nn.Conv1d(channels, channels, 1)

    def add(self, x: Tensor, h: Tensor) -> Tensor:
        """x plus the projected branch h (batch, channels, n)."""
        out: Tensor = x + self.out(h).view_as(x)
        return out


class SelfAttention(Attention):
    """Self-attention (Vaswani et al. 2017): every position looks at every other,

        x + W attend(Q, K, V),     Q, K, V = W_q norm(x), W_k norm(x), W_v norm(x).

    Args:
        channels: channels of the map.
        head_dim: channels of a head; None for one head.
        groups: groups of the normalisation.
        eps: added to the variance there.
    """

    def __init__(self, channels: int, head_dim: int | None, groups: int, eps: float) -> None:
        super().__init__(channels, head_dim, groups, eps)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        q, k, v = self.qkv(self.norm(x).flatten(2)).chunk(3, 1)
        return self.add(x, attend(q, k, v, self.heads))


class CrossAttention(Attention):
    """Cross-attention (Vaswani et al. 2017; Rombach et al. 2022): every position looks at every
    token of the context,

        x + W attend(Q, K, V),     Q = W_q norm(x),   K, V = W_k tokens, W_v tokens.

    Args:
        channels: channels of the map.
        head_dim: channels of a head; None for one head.
        groups: groups of the normalisation.
        eps: added to the variance there.
        token_width: width of the tokens, (batch, length, token_width).
    """

    def __init__(
        self, channels: int, head_dim: int | None, groups: int, eps: float, token_width: int
    ) -> None:
        super().__init__(channels, head_dim, groups, eps)
        self.q = nn.Conv1d(channels, channels, 1)
        self.kv = nn.Conv1d(token_width, 2 * channels, 1)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        assert context.tokens is not None
        tokens = context.tokens.to(self.kv.weight.dtype).transpose(1, 2)
        k, v = self.kv(tokens).chunk(2, 1)
        q = self.q(self.norm(x).flatten(2))
        return self.add(x, attend(q, k, v, self.heads, context.token_mask))
