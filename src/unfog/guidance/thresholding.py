r"""Thresholding: the denoised estimate is kept in the range of the data (Saharia et al. 2022,
section 2.3), so that strong guidance neither saturates nor washes out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand
from unfog.errors import InputError


class StaticThreshold(Denoiser):
    """Static thresholding: D clipped to [-bound, bound]; its variance is left."""

    def __init__(self, denoiser: Denoiser, bound: float = 1.0) -> None:
        super().__init__()
        self.denoiser, self.process, self.bound = denoiser, denoiser.process, bound

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        posterior: Posterior = self.denoiser(x_t, t, **condition)
        return Posterior(posterior.mean.clamp(-self.bound, self.bound), posterior.variance)


class DynamicThreshold(Denoiser):
    """Dynamic thresholding: D clipped to [-s, s] and scaled back to [-bound, bound],

        s = max(bound, quantile of |D|), of each sample.

    Args:
        denoiser: D.
        quantile: in (0, 1].
        bound: the range of the data is [-bound, bound].
    """

    def __init__(self, denoiser: Denoiser, quantile: float = 0.995, bound: float = 1.0) -> None:
        super().__init__()
        if not 0 < quantile <= 1:
            raise InputError(f"The quantile of a dynamic threshold is in (0, 1], got {quantile}.")
        self.denoiser, self.process, self.quantile, self.bound = (
            denoiser,
            denoiser.process,
            quantile,
            bound,
        )

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        mean: Tensor = self.denoiser(x_t, t, **condition).mean
        size = mean.flatten(1).abs().to(torch.promote_types(mean.dtype, torch.float32))
        scale = expand((torch.quantile(size, self.quantile, dim=1) / self.bound).clamp(min=1), mean)
        return Posterior((mean / scale).clamp(-self.bound, self.bound))
