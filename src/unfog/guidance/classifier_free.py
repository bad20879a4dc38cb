r"""Classifier-free guidance (Ho & Salimans 2022), on posterior means:

    D_w = D(x_t) + w (D(x_t | c) - D(x_t)),   w = 1 conditional, w = 0 unconditional.

Outside the interval of noise levels sigma / alpha the conditional model stands alone (Kynkaanniemi et al. 2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior


class ClassifierFree(Denoiser):
    """Guided by ``scale`` within ``interval``; two network calls there, one where the scale is 0 or 1."""

    def __init__(self, denoiser: Denoiser, scale: float, interval: tuple[float, float] = (0.0, float("inf"))) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.scale, self.interval = scale, interval

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        level = float(self.process.noise_level(t).max())
        scale = self.scale if self.interval[0] <= level <= self.interval[1] else 1.0
        if scale == 0 or scale == 1:
            chosen: Posterior = self.denoiser(x_t, t, **(condition if scale else {}))
            return chosen
        with_condition: Tensor = self.denoiser(x_t, t, **condition).mean
        return Posterior(torch.lerp(self.denoiser(x_t, t).mean, with_condition, scale))
