r"""The network of a diffusion prior: a causal transformer over text and one vector (Ramesh et al.
2022, arXiv:2204.06125, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.checkpointing import Checkpointing
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.transformer import TransformerBlock
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks

ADDED = 4  # tokens after the text's: its embedding, the label, x, the query


@networks.register("prior-transformer")
class PriorTransformer(Network):
    """The network of a denoiser of vectors: x (batch, in_channels), label (batch,) and context to
    (batch, out_channels). One sequence holds all that is known, and a learned token at its end,
    which sees all of it, is the answer:

        h_0 = [W tokens, W' vector, embedding(label), W'' x, query] + positions,
        h_(i+1) = block(h_i), where a token sees itself and those before it,
        out = W''' norm(h at the query).

    The context's tokens are those of a text, its vector the embedding of the whole text. A token's
    place is its rank among those that the mask shows, so a null that stands after hidden tokens has
    the place that it has alone. With depth 20, width 2048, 32 heads, 77 tokens and vectors of 768
    it is Karlo's prior. It starts as the zero function.

    Args:
        in_channels: numbers of x.
        out_channels: numbers of the output.
        dims: spatial axes of x, none: 0.
        depth: number of blocks.
        width: numbers of a token, and width of the label's embedding.
        heads: attention heads; they divide the width.
        mlp_ratio: width of a block's hidden layer over ``width``.
        length: largest number of tokens in the context.
        vector_width: width of ``context.vector``; None without it.
        spatial_channels: none: 0.
        token_width: width of ``context.tokens``; None without them.
        checkpointing: see `unfog.networks.layers.checkpointing.Checkpointing`.
    """

    kind = "prior transformer"
    takes_dims = (0,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 0,
        depth: int = 6,
        width: int = 256,
        heads: int = 4,
        mlp_ratio: int = 4,
        length: int = 77,
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        checkpointing: bool = False,
    ) -> None:
        _check_sizes(spatial_channels, width, heads, in_channels, out_channels, depth, length)
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=0,
            token_width=token_width,
        )
        self.width, self.length, self.run = width, length, Checkpointing(checkpointing)
        self.feature_channels = [width]
        # What becomes a token, and the tokens' places.
        self.text = None if token_width is None else nn.Linear(token_width, width)
        self.vector = None if vector_width is None else nn.Linear(vector_width, width)
        self.embedding = LabelEmbedding(width, width, shift=0.0)
        self.enter = nn.Linear(in_channels, width)
        self.query = nn.Parameter(torch.empty(width))
        self.places = nn.Parameter(torch.empty(length + ADDED, width))
        # The blocks and the last layer.
        blocks = [TransformerBlock(width, heads, mlp_ratio * width) for _ in range(depth)]
        self.blocks = cast(Sequence[TransformerBlock], nn.ModuleList(blocks))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, out_channels)
        _initialise(self)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        (answer,) = self.features(x, label, context)
        out: Tensor = self.leave(self.norm(answer))
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the query after the last block, (batch, width)."""
        self.check(x, context)
        shown, sees = self._visible(x, context)
        h = self._sequence(x, label, context) + self.places[self._ranks(shown)]
        for block in self.blocks:
            h = self.run(block, h, sees)
        return [h[:, -1]]

    def check(self, x: Tensor, context: Context) -> None:
        """As of any network; one token more than ``length`` may be there, a null."""
        super().check(x, context)
        if context.tokens is not None and context.tokens.shape[1] > self.length + 1:
            raise InputError(
                f"This prior was built for texts of up to {self.length} tokens, and was given "
                f"{context.tokens.shape[1]}; cut the text, or set the network's 'length'."
            )

    def _sequence(self, x: Tensor, label: Tensor, context: Context) -> Tensor:
        """The tokens without their places, (batch, n, width)."""
        dtype, parts = self.query.dtype, []
        if self.text is not None and context.tokens is not None:
            parts.append(self.text(context.tokens.to(dtype)))
        if self.vector is not None and context.vector is not None:
            parts.append(self.vector(context.vector.to(dtype))[:, None])
        parts += [self.embedding(label)[:, None], self.enter(x.to(dtype))[:, None]]
        return torch.cat([*parts, self.query.expand(len(x), 1, -1)], 1)

    def _visible(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Which tokens of the context are shown (batch, length of them), and which tokens of the
        sequence each one sees, (batch, n, n).
        """
        tokens, mask = context.tokens, context.token_mask
        count = 0 if tokens is None else tokens.shape[1]
        shown = torch.ones(len(x), count, dtype=torch.bool, device=x.device)
        if mask is not None and count:
            shown = mask.bool()
        n = count + ADDED - (self.vector is None)
        keys = torch.cat([shown, shown.new_ones(len(x), n - count)], 1)
        causal = torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
        return shown, causal & keys[:, None]

    def _ranks(self, shown: Tensor) -> Tensor:
        """The place of each token in the table of places, (batch, n)."""
        text = (shown.long().cumsum(1) - 1).clamp(0, self.length - 1)
        after = torch.arange(self.length, self.length + ADDED, device=shown.device)
        after = after[int(self.vector is None) :].expand(len(shown), -1)
        return torch.cat([text, after], 1)


def _check_sizes(spatial_channels: int, width: int, heads: int, *sizes: int) -> None:
    """``InputError`` for sizes below 1, or of parts that do not fit together."""
    if min(width, heads, *sizes) < 1:
        raise InputError("A prior's sizes, depth, width, heads and length must be at least 1.")
    if width % heads:
        raise InputError(f"A prior's width of {width} does not divide into {heads} heads.")
    if spatial_channels:
        raise InputError(
            "A prior transformer works on vectors, which no image can stand beside; take out the "
            "condition that is one."
        )


def _initialise(prior: PriorTransformer) -> None:
    """Normal weights of deviation 0.02 and zero biases, as of language models; the ends of branches
    smaller by the root of their number, the last layer zero.
    """
    for module in prior.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    for block in prior.blocks:
        for end in (block.attention.out, block.mlp[2]):
            nn.init.normal_(end.get_parameter("weight"), std=0.02 * (2 * len(prior.blocks)) ** -0.5)
    for table in (prior.query, prior.places):
        nn.init.normal_(table, std=0.02)
    # The first layer keeps the size of x, which is about 1 a coordinate.
    nn.init.normal_(prior.enter.weight, std=prior.enter.in_features**-0.5)
    nn.init.zeros_(prior.leave.weight)
