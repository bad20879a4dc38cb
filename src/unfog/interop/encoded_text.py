"""The condition of a text as its encoders' states, which a network takes as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.conditioning import Condition, Context, conditions
from unfog.core.conditions import VectorCondition
from unfog.interop.vector_map import SIZES_WIDTH, text_and_sizes


@conditions.register("encoded-text")
class EncodedText(Condition):
    """The states of a text as Stable Diffusion takes them (Rombach et al. 2022): tokens for
    cross-attention, and in XL (Podell et al. 2023) the pooled state with the picture's sizes, which
    are those of the sample: original and target its own, cropped nowhere.

    A value is (batch, 1 + length, numbers): the pooled state in the first ``pooled_size`` numbers
    of the first row, and a token in the first ``size`` of each other row. The null is such a value
    too, of the empty text or of zeros, and not learned here.

    Args:
        size: The numbers of a token.
        length: Tokens of a text.
        pooled_size: The numbers of the pooled state; 0 for a network without.
        width: Of the label's embedding.
        factor: Pixels of the picture for one of x_t, along a side.
    """

    absent: Tensor

    def __init__(
        self, size: int, length: int, pooled_size: int = 0, width: int = 0, factor: int = 8
    ) -> None:
        super().__init__()
        self.size, self.pooled_size, self.factor = size, pooled_size, factor
        self.sizes = {"token_width": size}
        self.vector: VectorCondition | None = None
        if pooled_size:
            self.sizes["vector_width"] = width
            self.vector = VectorCondition(pooled_size + 6 * SIZES_WIDTH, width, null="zero")
        self.register_buffer("absent", torch.zeros(1 + length, max(size, pooled_size)))

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``mask`` (batch, 1 + length) hides tokens."""
        absent = self.absent.to(x_t.device).expand(len(x_t), -1, -1)
        rows = absent if value is None else value.to(absent)
        if keep is not None:
            rows = torch.where(keep[:, None, None], rows, absent)
        seen = None if mask is None or bool(mask.all()) else mask[:, 1:].bool()
        tokens = rows[:, 1:, : self.size]
        return Context(vector=self._vector(rows[:, 0], x_t), tokens=tokens, token_mask=seen)

    def _vector(self, pooled: Tensor, x_t: Tensor) -> Tensor | None:
        """The embedding of the pooled state and the sample's sizes, of a network that has one."""
        if self.vector is None:
            return None
        height, width = (side * self.factor for side in x_t.shape[2:])
        sizes = pooled.new_tensor([height, width, 0, 0, height, width]).expand(len(pooled), -1)
        return self.vector.embed(text_and_sizes(pooled[:, : self.pooled_size], sizes)).vector

    def embed(self, value: Tensor) -> Context:
        return Context(tokens=value[:, 1:, : self.size])

    def null(self, x_t: Tensor) -> Context:
        return self.forward(None, None, x_t)
