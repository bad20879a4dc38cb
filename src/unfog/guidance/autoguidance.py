r"""Autoguidance: guidance by a worse version of the same model (Karras et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior


class Autoguidance(Denoiser):
    """Guides away from a worse version of the same model (Karras et al. 2024):

        D_w = D_bad(x_t | c) + w (D(x_t | c) - D_bad(x_t | c)),     w = 1 the model itself.

    Two network calls, one where the scale is 1.

    Args:
        denoiser: D.
        worse: D_bad, smaller or trained for less time, on the same data and conditions.
        scale: w.
    """

    def __init__(self, denoiser: Denoiser, worse: Denoiser, scale: float) -> None:
        super().__init__()
        self.denoiser, self.worse, self.process, self.scale = (
            denoiser,
            worse,
            denoiser.process,
            scale,
        )

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        better: Posterior = self.denoiser(x_t, t, **condition)
        if self.scale == 1:
            return better
        return Posterior(torch.lerp(self.worse(x_t, t, **condition).mean, better.mean, self.scale))
