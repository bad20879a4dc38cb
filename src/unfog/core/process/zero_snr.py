"""Tables rescaled to zero terminal SNR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.process.base import processes
from unfog.core.process.tabulated import Tabulated
from unfog.core.process.variance_preserving import VariancePreserving
from unfog.errors import InputError


@dataclass(frozen=True)
class ZeroTerminalSNR(VariancePreserving):
    """A table rescaled to zero terminal SNR: its last knot is noise alone (Lin et al. 2024,
    algorithm 1).

        alpha'_k = (alpha_k - alpha_T) alpha_1 / (alpha_1 - alpha_T),   k = 1 .. T,
        sigma'^2 = 1 - alpha'^2,

    so that alpha'_T = 0 while alpha'_1 = alpha_1; between knots alpha(t) is rescaled alike, and
    before the first knot it is the table's own. x_0 cannot be found from the noise where alpha is
    0: such a process takes a network that predicts x_0, v or the flow, and ``NetworkDenoiser``
    refuses the others.
    """

    table: Tabulated

    def integrated_beta(self, t: Tensor) -> Tensor:
        first, last, scale = self._ends(t)
        b, alpha = self.table.integrated_beta(t), self.table.alpha(t)
        return torch.where(alpha >= first, b, -2 * torch.log((scale * (alpha - last)).clamp(min=0)))

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        first, last, scale = self._ends(b)
        alpha = torch.exp(-0.5 * b)
        return self.table.t_of_integrated_beta(
            torch.where(alpha >= first, b, -2 * torch.log(alpha / scale + last))
        )

    def beta(self, t: Tensor) -> Tensor:
        first, last, _ = self._ends(t)
        beta, alpha = self.table.beta(t), self.table.alpha(t)
        return torch.where(alpha >= first, beta, beta * alpha / (alpha - last))

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha_1, alpha_T and the scale alpha_1 / (alpha_1 - alpha_T)."""
        knots = torch.tensor([1 / self.table.steps, 1.0], dtype=torch.float64, device=like.device)
        first, last = self.table.alpha(knots)
        return first, last, first / (first - last)


@processes.register("zero-snr")
def zero_snr(table: Mapping[str, Any] | str = "ddpm-scaled-linear") -> ZeroTerminalSNR:
    """The table of this name or registry config, rescaled to zero terminal SNR."""
    process = processes.build(table)
    if not isinstance(process, Tabulated):
        raise InputError(
            f"Zero terminal SNR is for a table such as ddpm-linear, not for {table!r}."
        )
    return ZeroTerminalSNR(process)
