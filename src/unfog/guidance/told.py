"""A denoiser that is told the same condition in every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior


class Told(Denoiser):
    """D(x_t | c) for one c: a prior of what it shows, which posterior methods take as any other.

    Args:
        denoiser: D.
        condition: c by name, each a batch of one, for every sample alike.
    """

    def __init__(self, denoiser: Denoiser, condition: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.condition = dict(condition)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        own = {
            name: value.expand(len(x_t), *value.shape[1:]) for name, value in self.condition.items()
        }
        posterior: Posterior = self.denoiser(x_t, t, **own, **condition)
        return posterior
