r"""The network of a small model of vectors: a residual perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks


@networks.register("perceptron")
class Perceptron(Network):
    """x (batch, in_channels), label (batch,) and context to (batch, out_channels):

        e = embedding(label) [+ vector],   h_0 = W x,
        h_(i+1) = h_i + W_i' silu(W_i h_i + U_i e),   out = W'' silu(h).

    It starts as the zero function.

    Args:
        in_channels: Numbers of x.
        out_channels: Numbers of the output.
        dims: Spatial axes of x, none: 0.
        width: Numbers of a hidden layer, and of the label's embedding.
        depth: Residual blocks.
        vector_width: Width of ``context.vector``, which is ``width``; None without it.
        spatial_channels: None: 0.
        token_width: None.
    """

    kind = "perceptron"
    takes_dims = (0,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 0,
        width: int = 128,
        depth: int = 4,
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
    ) -> None:
        if min(width, depth, in_channels, out_channels) < 1:
            raise InputError("A perceptron's sizes, width and depth must be at least 1.")
        if spatial_channels or token_width:
            raise InputError(
                "A perceptron works on vectors, beside which no picture and no text stands; take "
                "out the condition that is one."
            )
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=0,
            token_width=None,
        )
        self.feature_channels = [width]
        self.embedding = LabelEmbedding(width, width)
        self.enter = nn.Linear(in_channels, width)
        self.first, self.told, self.second = (
            nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(3)
        )
        self.leave = nn.Linear(width, out_channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        (h,) = self.features(x, label, context)
        out: Tensor = self.leave(silu(h))
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the last hidden layer, (batch, width)."""
        self.check(x, context)
        dtype: torch.dtype = self.enter.weight.dtype
        e = self.embedding(label)
        if context.vector is not None:
            e = e + context.vector.to(dtype)
        e, h = silu(e), self.enter(x.to(dtype))
        for first, told, second in zip(self.first, self.told, self.second, strict=True):
            h = h + second(silu(first(h) + told(e)))
        return [h]
