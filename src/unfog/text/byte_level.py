"""Text without a pretrained encoder: the bytes of a prompt, and a transformer over them that is
trained with the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.core.conditions import SequenceCondition, conditions
from unfog.text.encoder import PromptReader, readers, require_prompts, say_cut

BYTES = 256


@readers.register("bytes")
class ByteReader(PromptReader):
    """The bytes of a prompt in UTF-8, for the condition ``bytes``, which embeds them by a
    transformer of the model's own (Xue et al. 2022 read bytes so).

    Args:
        max_tokens: The most bytes of a prompt.
    """

    def __init__(self, max_tokens: int = 64) -> None:
        self.max_tokens = max_tokens
        self.condition = {"name": "bytes", "length": max_tokens}

    def rows(self, prompts: Sequence[str]) -> list[Tensor]:
        rows = []
        for prompt in require_prompts(prompts):
            content = list(prompt.encode())
            if len(content) > self.max_tokens:
                say_cut(prompt, len(content), self.max_tokens)
            rows.append(torch.tensor(content[: self.max_tokens]))
        return rows


@conditions.register("bytes")
class ByteCondition(SequenceCondition):
    """Bytes (batch, length) with their mask, embedded by a transformer encoder (Vaswani et al.
    2017) as a token sequence and as its mean, a vector; both have their nulls.

    Args:
        length: The most bytes.
        width: The size of the vector's embedding.
        token_width: The size of the tokens, and of the transformer.
        layers: Of the transformer.
        heads: Of its attention.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(
        self,
        length: int,
        width: int,
        token_width: int = 128,
        layers: int = 2,
        heads: int = 4,
        null: str = "learned",
    ) -> None:
        super().__init__(token_width, token_width, width, token_width, null)
        self.length = length
        self.byte = nn.Embedding(BYTES, token_width)
        self.place = nn.Parameter(0.02 * torch.randn(length, token_width))
        layer = nn.TransformerEncoderLayer(
            token_width, heads, 4 * token_width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(
        self, value: Tensor | None, keep: Tensor | None, x_t: Tensor, mask: Tensor | None = None
    ) -> Context:
        """As of any condition; ``mask`` (batch, length) says where there is a byte, and ``keep``
        may be (batch, 2), for the vector and the tokens.
        """
        if value is None:
            return self.null(x_t)
        there = torch.ones_like(value, dtype=torch.bool) if mask is None else mask.bool()
        h = self.byte(value.long()) + self.place[: value.shape[1]]
        # A text of which nothing is there is read whole, and its null stands for it below.
        read = there | ~there.any(1, keepdim=True)
        h = self.transformer(h, src_key_padding_mask=~read)
        # The mean of the tokens that are there, ahead of the tokens.
        weights = there.to(h.dtype)[..., None]
        mean = (h * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
        given = torch.cat([there.any(1, keepdim=True), there], 1)
        return super().forward(torch.cat([mean, h], 1), keep, x_t, given)
