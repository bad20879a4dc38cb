"""Processes that add noise and leave the data as they are: alpha = 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.process.base import Process, processes, require_growth
from unfog.errors import InputError


@processes.register("edm")
@dataclass(frozen=True)
class EDM(Process):
    """EDM's process (Karras et al. 2022, table 1): noise is added, and its deviation is the time.

        alpha = 1,    sigma = sigma_max t,    t in [0, 1];

    Karras' own time is sigma_max t here.
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        require_growth("edm", sigma_max=self.sigma_max)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * t

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.exp(-0.5 * log_snr) / self.sigma_max


@processes.register("ve")
@dataclass(frozen=True)
class VarianceExploding(Process):
    """The variance-exploding SDE (Song et al. 2021, eq. 29): noise of geometric growth is added.

        alpha = 1,    sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^{2t} - 1).

    The variance is that of the SDE begun at clean data, so it is 0 at t = 0.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                "A variance-exploding process needs 0 < sigma_min < sigma_max, got "
                f"{self.sigma_min} and {self.sigma_max}."
            )

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.expm1(self._growth * t).sqrt()

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.log1p(torch.exp(-log_snr) / self.sigma_min**2) / self._growth

    @property
    def _growth(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)
