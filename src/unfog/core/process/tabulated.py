"""Discrete tables beta_1 .. beta_T as continuous processes: DDPM, Stable Diffusion, Improved
DDPM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.process.base import processes
from unfog.core.process.variance_preserving import VariancePreserving
from unfog.errors import InputError


@dataclass(frozen=True)
class Tabulated(VariancePreserving):
    """A discrete DDPM table beta_1 .. beta_T, exact at its knots t = k / T.

    Between knots beta(t) is constant, so B is piecewise linear and the log-SNR strictly monotone.
    The discrete index n = 0 .. T-1 of other libraries is the knot t = (n + 1) / T; t = 0 is clean
    data.
    """

    knots: tuple[float, ...]  # B at t = 0, 1/T, ..., 1

    @classmethod
    def from_betas(cls, betas: Sequence[float] | Tensor) -> Tabulated:
        values = torch.as_tensor(betas, dtype=torch.float64)
        if values.ndim != 1 or not bool(((values > 0) & (values < 1)).all()):
            raise InputError(
                "The betas of a table are a list of numbers strictly between 0 and 1, or its "
                "noise would not grow."
            )
        return cls.from_alphas_cumprod(torch.cumprod(1 - values, 0))

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Sequence[float] | Tensor) -> Tabulated:
        knots = (0.0, *(-torch.as_tensor(alphas_cumprod, dtype=torch.float64).log()).tolist())
        if len(knots) < 2 or not all(a < b < math.inf for a, b in pairwise(knots)):
            raise InputError(
                "The alphas_cumprod of a table decrease strictly from below 1 to above 0, or its "
                "noise would not grow."
            )
        return cls(knots)

    @property
    def steps(self) -> int:
        return len(self.knots) - 1

    def integrated_beta(self, t: Tensor) -> Tensor:
        table, place = self._table(t), self._place(t)
        low = place.floor().clamp(0, self.steps - 1)
        index = low.long()
        return table[index] + (place - low) * (table[index + 1] - table[index])

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        table = self._table(b)
        index = torch.searchsorted(table, b.contiguous()).clamp(1, self.steps)
        return (index - 1 + (b - table[index - 1]) / (table[index] - table[index - 1])) / self.steps

    def beta(self, t: Tensor) -> Tensor:
        # beta jumps at a knot; there it is that of the step which ends in it, as in DDPM's table.
        index = self._place(t).ceil().clamp(1, self.steps).long()
        table = self._table(t)
        return (table[index] - table[index - 1]) * self.steps

    def _place(self, t: Tensor) -> Tensor:
        """t in units of the table's stride, rounded to the knot it means (with t's own slope, which
        rounding has not).
        """
        place = t * self.steps
        beside = (place.round() - place).detach()
        return torch.where(beside.abs() < 1e-9 * self.steps, place + beside, place)

    def _table(self, like: Tensor) -> Tensor:
        return torch.tensor(self.knots, dtype=torch.float64, device=like.device)


@processes.register("ddpm-linear")
def ddpm_linear(beta_start: float = 1e-4, beta_end: float = 0.02, steps: int = 1000) -> Tabulated:
    """DDPM's table: beta_k linear from 1e-4 to 0.02 over 1000 steps (Ho et al. 2020)."""
    return Tabulated.from_betas(torch.linspace(beta_start, beta_end, steps, dtype=torch.float64))


@processes.register("ddpm-scaled-linear")
def ddpm_scaled_linear(
    beta_start: float = 0.00085, beta_end: float = 0.012, steps: int = 1000
) -> Tabulated:
    """Stable Diffusion's table: sqrt(beta_k) linear (Rombach et al. 2022)."""
    return Tabulated.from_betas(
        torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    )


@processes.register("ddpm-cosine")
def ddpm_cosine(steps: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Tabulated:
    """Improved DDPM: beta_k = 1 - abar(k/T) / abar((k-1)/T) <= beta_max, abar a squared cosine
    (Nichol & Dhariwal 2021).
    """
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    abar = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return Tabulated.from_betas((1 - abar[1:] / abar[:-1]).clamp(max=beta_max))
