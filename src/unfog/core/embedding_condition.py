"""The condition of an embedding: one vector that enters a network in two ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Context, conditions, set_null


@conditions.register("embedding")
class EmbeddingCondition(Condition):
    """A vector (batch, size) that is added to the time embedding, and also becomes a few tokens for
    cross-attention (Ramesh et al. 2022, section 2.1). Each of the two has its null and may be left
    out without the other.

    Args:
        size: The numbers of the vector.
        width: The size of what is added to the time embedding.
        tokens: The number of tokens.
        token_width: The size of a token.
        null: ``learned``, or ``zero`` for zeros.
    """

    PARTS = 2  # which training may hide one by one: the vector, the tokens
    absent_vector: Tensor
    absent_tokens: Tensor

    def __init__(
        self, size: int, width: int, tokens: int = 4, token_width: int = 256, null: str = "learned"
    ) -> None:
        super().__init__()
        self.count, self.token_width = tokens, token_width
        self.sizes = {"vector_width": width, "token_width": token_width}
        self.vector = nn.Linear(size, width)
        self.tokens = nn.Linear(size, tokens * token_width)
        set_null(self, "absent_vector", width, null)
        set_null(self, "absent_tokens", tokens * token_width, null)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``keep`` and ``mask`` may be (batch, 2), for the vector and the
        tokens.
        """
        if value is None:
            return self.null(x_t)
        # Which of the two are there, (batch, 2).
        there = torch.ones(len(value), self.PARTS, dtype=torch.bool, device=value.device)
        for hidden in (keep, mask):
            if hidden is not None:
                there = there & (hidden if hidden.ndim == 2 else hidden[:, None]).bool()
        vector, tokens = self.vector(value), self.tokens(value)
        vector = torch.where(there[:, :1], vector, self.absent_vector.to(vector.dtype))
        tokens = torch.where(there[:, 1:], tokens, self.absent_tokens.to(tokens.dtype))
        return self._context(vector, tokens)

    def embed(self, value: Tensor) -> Context:
        return self.forward(value, None, value)

    def null(self, x_t: Tensor) -> Context:
        return self._context(
            self.absent_vector.expand(len(x_t), -1), self.absent_tokens.expand(len(x_t), -1)
        )

    def _context(self, vector: Tensor, tokens: Tensor) -> Context:
        """The context of the vector and of the tokens end to end."""
        sequence = tokens.reshape(len(tokens), self.count, self.token_width)
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return Context(vector=vector, tokens=sequence, token_mask=mask)
