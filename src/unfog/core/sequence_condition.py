"""The condition of a sequence: its tokens and its pooled vector, such as those of a text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Context, conditions, set_null


@conditions.register("sequence")
class SequenceCondition(Condition):
    """A sequence as an encoder gives it: tokens for cross-attention, and a pooled vector,
    which is added to the time embedding (Saharia et al. 2022). Each has its null, and may be left
    out without the other.

    A value is (batch, 1 + length, numbers): the pooled vector in its first ``pooled_size`` numbers
    of the first row, and a token in the first ``size`` of each other row. Its mask says which rows
    are there. The null token is seen where no other is.

    Args:
        size: The numbers of a token.
        pooled_size: The numbers of the pooled vector.
        width: The size of the vector's embedding.
        token_width: The size that tokens are projected to.
        null: ``learned``, or ``zero`` for zeros.
    """

    PARTS = 2  # which training may hide one by one: the vector, the tokens
    absent_vector: Tensor
    absent_token: Tensor

    def __init__(
        self,
        size: int,
        pooled_size: int,
        width: int,
        token_width: int = 256,
        null: str = "learned",
    ) -> None:
        super().__init__()
        self.size, self.pooled_size = size, pooled_size
        self.sizes = {"vector_width": width, "token_width": token_width}
        # Encoders differ in scale, so what they give is normalised first.
        self.token = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, token_width))
        self.pooled = nn.Sequential(
            nn.LayerNorm(pooled_size),
            nn.Linear(pooled_size, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )
        for name, length in (("absent_vector", width), ("absent_token", token_width)):
            set_null(self, name, length, null)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``mask`` (batch, 1 + length) says whether the vector and which
        tokens are there, and ``keep`` may be (batch, 2), for the vector and the tokens.
        """
        if value is None:
            return self.null(x_t)
        shape, device = value.shape[:2], value.device
        there = torch.ones(shape, dtype=torch.bool, device=device) if mask is None else mask.bool()
        if keep is not None:
            parts = keep if keep.ndim == 2 else keep[:, None].expand(-1, self.PARTS)
            there = there & torch.cat([parts[:, :1], parts[:, 1:].expand(-1, shape[1] - 1)], 1)
        # The vector, or its null.
        vector = self.pooled(value[:, 0, : self.pooled_size])
        vector = torch.where(there[:, :1], vector, self.absent_vector.to(vector.dtype))
        # The tokens, and after them the null token.
        tokens = self.token(value[:, 1:, : self.size])
        absent = self.absent_token.to(tokens.dtype).expand(len(value), 1, -1)
        seen = torch.cat([there[:, 1:], ~there[:, 1:].any(1, keepdim=True)], 1)
        return Context(vector=vector, tokens=torch.cat([tokens, absent], 1), token_mask=seen)

    def embed(self, value: Tensor) -> Context:
        return self.forward(value, None, value)

    def null(self, x_t: Tensor) -> Context:
        count = len(x_t)
        return Context(
            vector=self.absent_vector.expand(count, -1),
            tokens=self.absent_token.expand(count, 1, -1),
            token_mask=torch.ones(count, 1, dtype=torch.bool, device=x_t.device),
        )
