r"""DPM-Solver++(2M): the exponential integrator with a two-point history (Lu et al. 2022, algorithm 2).

With lambda = log(alpha / sigma), h = lambda_s - lambda_t and D the denoised estimate,

    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - e^{-h}) D_t + alpha_s c(h) (D_t - D_prev) / ratio,   ratio = h_prev / h.

``midpoint`` has c = (1 - e^{-h}) / 2, ``heun`` has c = (e^{-h} - 1)/h + 1; both are of order 2 and differ by
several percent at few steps. The first step, and the last onto sigma = 0, are of order 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.sampling.loop import Condition, History


@dataclass(frozen=True)
class DPMpp2M(ABC):
    """Two-step multistep solver, one call a step; history is (D, half log-SNR) of the step before."""

    @abstractmethod
    def correction(self, h: Tensor) -> Tensor:
        """c(h), the weight of the difference of denoised estimates."""

    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, history: History, randomness: Randomness, condition: Condition
    ) -> tuple[Tensor, History]:
        process = denoiser.process
        x0, half_t, half_s = denoiser(x_t, t, **condition).mean, 0.5 * process.log_snr(t), 0.5 * process.log_snr(s)
        if float(process.sigma(s)) == 0:
            return expand(process.alpha(s), x0) * x0, ()
        h = half_s - half_t
        x_s = expand(process.sigma(s) / process.sigma(t), x_t) * x_t - expand(process.alpha(s) * torch.expm1(-h), x_t) * x0
        if history:
            x0_before, half_before = history
            ratio = (half_t - half_before) / h
            x_s = x_s + expand(process.alpha(s) * self.correction(h) / ratio, x_t) * (x0 - x0_before)
        return x_s, (x0, half_t)


@dataclass(frozen=True)
class DPMpp2MMidpoint(DPMpp2M):
    """The midpoint variant: the one that is meant when a paper says DPM++ 2M."""

    def correction(self, h: Tensor) -> Tensor:
        return -0.5 * torch.expm1(-h)


@dataclass(frozen=True)
class DPMpp2MHeun(DPMpp2M):
    """The Heun variant."""

    def correction(self, h: Tensor) -> Tensor:
        return torch.expm1(-h) / h + 1
