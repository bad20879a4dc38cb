"""The condition of several numbers, each of which may be given by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Context, conditions
from unfog.errors import InputError


@conditions.register("numbers")
class NumbersCondition(Condition):
    """Several numbers v (batch, size), each with a flag g that says whether it is given, embedded
    by a two-layer perceptron:

        vector = perceptron([g v, g]).

    The null gives none; ``keep`` and ``mask`` may hide numbers one by one, so that a model draws
    for some of them and leaves the others free.

    Args:
        size: How many numbers, at least 1.
        width: The size of the embedding.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"A condition of numbers has 1 or more, not {size}.")
        self.size, self.sizes = size, {"vector_width": width}
        self.perceptron = nn.Sequential(
            nn.Linear(2 * size, width), nn.SiLU(), nn.Linear(width, width)
        )

    def embed(self, value: Tensor) -> Context:
        return self._vector(value, torch.ones_like(value))

    def null(self, x_t: Tensor) -> Context:
        nothing = x_t.new_zeros(len(x_t), self.size)
        return self._vector(nothing, nothing)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``keep`` may be (batch, size) as well."""
        if value is None:
            return self.null(x_t)
        given = torch.ones_like(value)
        for hidden in (keep, mask):
            if hidden is not None:
                given = given * (hidden if hidden.ndim == 2 else hidden[:, None])
        return self._vector(value, given)

    def _vector(self, value: Tensor, given: Tensor) -> Context:
        return Context(vector=self.perceptron(torch.cat([value * given, given], 1)))
