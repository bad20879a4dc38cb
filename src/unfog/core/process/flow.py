"""The process of rectified flow and flow matching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.process.base import Process, processes


@processes.register("flow")
@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Rectified flow (Liu et al. 2023, eq. 1; Lipman et al. 2023): straight lines from data to
    noise.

        alpha = 1 - t,    sigma = t;

    t = 1 is noise alone.
    """

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-0.5 * log_snr)
