r"""What a space-time network has along time: a convolution and an attention over the frames of each
place. Frames are folded into the batch, (batch * frames, channels, rows, columns), as the layers
for pictures see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.blocks import Stage
from unfog.networks.layers.normalisation import GroupNorm


@dataclass(frozen=True)
class ClipContext(Context):
    """A context repeated for each of the ``frames`` of a clip."""

    frames: int = 1


def fold(x: Tensor) -> Tensor:
    """Clips (batch, channels, frames, *space) as pictures (batch * frames, channels, *space)."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold(x: Tensor, frames: int) -> Tensor:
    """The inverse of ``fold``."""
    return x.reshape(-1, frames, *x.shape[1:]).transpose(1, 2)


def clip_context(context: Context, frames: int) -> ClipContext:
    """The context of a batch of clips as that of their folded frames: images frame by frame, all
    else repeated.
    """

    def repeated(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.repeat_interleave(frames, 0)

    return ClipContext(
        vector=repeated(context.vector),
        spatial=None if context.spatial is None else fold(context.spatial),
        tokens=repeated(context.tokens),
        token_mask=repeated(context.token_mask),
        decoupled=repeated(context.decoupled),
        frames=frames,
    )


class TemporalConvolution(nn.Module):
    """A convolution over three frames of each place, as a residual branch that starts at zero:

        x + conv(silu(norm(x))).

    Args:
        channels: channels of the map.
        groups: groups of the normalisation, whose statistics are of the whole clip.
        eps: added to the variance there.
    """

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps)
        # Time by places, so that a kernel of 3 x 1 goes along time alone: twice as fast on a
        # processor as the same convolution in three dimensions.
        self.conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (batch * frames, channels, rows, columns) to the same shape."""
        h = x.reshape(-1, frames, x.shape[1], x.shape[2] * x.shape[3]).transpose(1, 2)
        h = self.conv(silu(self.norm(h)))
        out: Tensor = x + h.transpose(1, 2).reshape(x.shape)
        return out


class TemporalAttention(nn.Module):
    """Attention of each place over its frames, with a learned bias by their distance in time (Ho et
    al. 2022, arXiv:2204.03458; the bias after Shaw et al. 2018), as a residual branch that starts
    at zero:

        x + W V softmax(K^T Q / sqrt(d) + b(j - i)),

    b one number for each head and distance, the same beyond ``reach`` frames, so that clips may be
    of any length.

    Args:
        channels: channels of the map.
        head_dim: channels of a head; None for one head.
        groups: groups of the normalisation, whose statistics are of each frame.
        eps: added to the variance there.
        reach: the largest distance that is told from others, in frames.
    """

    def __init__(
        self, channels: int, head_dim: int | None, groups: int, eps: float, reach: int
    ) -> None:
        super().__init__()
        if head_dim is not None and (head_dim < 1 or channels % head_dim):
            raise InputError(
                f"{channels} channels do not divide into heads of {head_dim}; choose a "
                "'head_dim' that does at every level."
            )
        if reach < 1:
            raise InputError(f"The reach of temporal attention is 1 frame or more, not {reach}.")
        self.heads, self.reach = channels // (head_dim or channels), reach
        self.norm = GroupNorm(groups, channels, eps)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.bias = nn.Parameter(torch.zeros(self.heads, 2 * reach + 1))
        self.out = nn.Conv1d(channels, channels, 1)
        nn.init.xavier_uniform_(self.qkv.weight)
        for zero in (self.qkv.bias, self.out.weight, self.out.bias):
            assert zero is not None
            nn.init.zeros_(zero)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (batch * frames, channels, rows, columns) to the same shape."""
        places = x.shape[2] * x.shape[3]
        # (3, batch * places * heads, frames, channels of a head).
        qkv = self.qkv(self.norm(x).flatten(2))
        qkv = qkv.view(-1, frames, 3, self.heads, x.shape[1] // self.heads, places)
        q, k, v = qkv.permute(2, 0, 5, 3, 1, 4).flatten(1, 3)
        scores = torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2))
        scores = scores.view(-1, self.heads, frames, frames) + self.distances(frames)
        h = torch.bmm(scores.softmax(-1).to(v.dtype).flatten(0, 1), v)
        # Back to (batch * frames, channels, places).
        h = h.view(-1, places, self.heads, frames, q.shape[-1]).permute(0, 3, 2, 4, 1)
        out: Tensor = x + self.out(h.reshape(len(x), -1, places)).view_as(x)
        return out

    def distances(self, frames: int) -> Tensor:
        """The bias of each head for a query (row) and a key (column), (heads, frames, frames)."""
        at = torch.arange(frames, device=self.bias.device)
        distance = (at[None] - at[:, None]).clamp(-self.reach, self.reach) + self.reach
        return self.bias[:, distance]


class JointAttention(TemporalAttention):
    """Attention of each place of each frame over all places of all frames (Bertasius et al. 2021,
    arXiv:2102.05095, "joint space-time"), with the bias of ``TemporalAttention`` by the distance in
    time: what moves is found again wherever it went. For small maps, since its cost is quadratic in
    frames and places.
    """

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (batch * frames, channels, rows, columns) to the same shape."""
        places, width = x.shape[2] * x.shape[3], x.shape[1] // self.heads
        # (3, batch, heads, frames * places, channels of a head).
        qkv = self.qkv(self.norm(x).flatten(2)).view(-1, frames, 3, self.heads, width, places)
        q, k, v = qkv.permute(2, 0, 3, 1, 5, 4).flatten(3, 4)
        bias = self.distances(frames).repeat_interleave(places, 1).repeat_interleave(places, 2)
        h = scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        # Back to (batch * frames, channels, places).
        h = h.view(-1, self.heads, frames, places, width).permute(0, 2, 1, 4, 3)
        out: Tensor = x + self.out(h.reshape(len(x), -1, places)).view_as(x)
        return out


class SpaceTimeStage(Stage):
    """A stage of a network for pictures, then what it has along time. Clips of one frame are
    pictures and pass by that (Ho et al. 2022, arXiv:2210.02303).

    Args:
        stage: the stage for pictures, whose parts keep their names.
        temporal: layers called with a map and its number of frames.
    """

    def __init__(self, stage: Stage, temporal: Sequence[nn.Module]) -> None:
        super().__init__(stage.block, list(stage.attentions))
        self.temporal = nn.ModuleList(temporal)

    def forward(self, x: Tensor, e: Tensor, context: Context) -> Tensor:
        x = super().forward(x, e, context)
        frames = context.frames if isinstance(context, ClipContext) else 1
        for part in self.temporal if frames > 1 else ():
            x = part(x, frames)
        return x
