"""Conditions whose values are known beforehand, such as the voxels of the scan at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unfog.core.conditioning import Conditioner, Context


class Known(Conditioner):
    """The conditions of a model, some of which have a value where a caller gives none.

    Args:
        conditioner: The model's own.
        values: By name, each a batch of one, for every sample alike.

    Raises:
        InputError: The model takes no condition of that name, in the first call.
    """

    def __init__(self, conditioner: Conditioner, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.parts, self.values = conditioner.parts, dict(values)

    def forward(
        self, x_t: Tensor, values: Mapping[str, Any], keep: Mapping[str, Tensor] | None = None
    ) -> Context:
        known = {
            name: value.to(x_t).expand(len(x_t), *value.shape[1:])
            for name, value in self.values.items()
        }
        context: Context = super().forward(x_t, {**known, **values}, keep)
        return context
