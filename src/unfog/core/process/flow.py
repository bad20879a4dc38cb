r"""Processes beyond the variance-preserving ones.

    variance exploding:       alpha = 1,           sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^{2t} - 1)
    sub-variance-preserving:  alpha = e^{-B/2},    sigma = 1 - e^{-B},    B(t) the integral of beta
    rectified flow:           alpha = 1 - t,       sigma = t

The first two: Song et al. 2021 (eq. 29: the variance is that of their SDE from clean data, so it is 0 at t = 0).
Rectified flow: Liu et al. 2023, Lipman et al. 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.process.variance_preserving import Process, VPLinear, processes, require_growth
from unfog.errors import InputError


@processes.register("ve")
@dataclass(frozen=True)
class VarianceExploding(Process):
    """The noise grows geometrically, and the data stays as it is."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(f"A variance-exploding process needs 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}.")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.expm1(self._growth * t).sqrt()

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.log1p(torch.exp(-log_snr) / self.sigma_min**2) / self._growth

    @property
    def _growth(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)


@processes.register("sub-vp")
@dataclass(frozen=True)
class SubVariancePreserving(Process):
    """The drift of ``vp-linear`` with less noise: sigma is the variance that process has."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        require_growth("sub-vp", beta_min=self.beta_min, beta_max=self.beta_max)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-0.5 * self._drift.integrated_beta(t))

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self._drift.integrated_beta(t))

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.log(2 * torch.sinh(0.5 * self._drift.integrated_beta(t)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        return self._drift.t_of_integrated_beta(2 * torch.asinh(0.5 * torch.exp(-0.5 * log_snr)))

    @property
    def _drift(self) -> VPLinear:
        return VPLinear(self.beta_min, self.beta_max)


@processes.register("flow")
@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Straight lines from data to noise; t = 1 is noise alone."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-0.5 * log_snr)
