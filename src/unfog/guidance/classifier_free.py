r"""Classifier-free guidance (Ho & Salimans 2022), on posterior means."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand
from unfog.errors import InputError


class ClassifierFree(Denoiser):
    """Classifier-free guidance (Ho & Salimans 2022):

        D_w = D(x_t) + w (D(x_t | c) - D(x_t)),   w = 1 conditional, w = 0 unconditional.

    Two network calls within the interval, one outside it and where w is 0 or 1.

    Args:
        denoiser: D, of a model trained with and without its condition.
        scale: w.
        interval: noise levels sigma / alpha within which there is guidance; outside the conditional
            model stands alone (Kynkaanniemi et al. 2024).
        rescale: share of the way that D_w is taken to the spread of D(x_t | c), sample by sample
            (Lin et al. 2024, section 3.4, there of the network's output): D_w is multiplied by (1 -
            rescale) + rescale std(D(x_t | c)) / std(D_w).

    Raises:
        InputError: for a rescale outside [0, 1].
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float,
        interval: tuple[float, float] = (0.0, float("inf")),
        rescale: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= rescale <= 1:
            raise InputError(
                f"The rescaling of guidance is a share between 0 and 1, got {rescale}."
            )
        self.denoiser, self.process = denoiser, denoiser.process
        self.scale, self.interval, self.rescale = scale, interval, rescale

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        level = float(self.process.noise_level(t).max())
        scale = self.scale if self.interval[0] <= level <= self.interval[1] else 1.0
        if scale == 0 or scale == 1:
            posterior: Posterior = self.denoiser(x_t, t, **(condition if scale else {}))
            return posterior
        with_condition: Tensor = self.denoiser(x_t, t, **condition).mean
        guided = torch.lerp(self.denoiser(x_t, t).mean, with_condition, scale)
        # Rescaling, by the ratio of spreads.
        spread = (
            with_condition.flatten(1).std(1) / guided.flatten(1).std(1)
            if self.rescale
            else torch.ones(())
        )
        return Posterior(guided * expand(1 + self.rescale * (spread - 1), guided))
