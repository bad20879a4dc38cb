"""Discrete tables beta_1 .. beta_T as continuous processes: those of DDPM, Stable Diffusion and
Improved DDPM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.process.base import processes
from unfog.core.process.variance_preserving import VariancePreserving
from unfog.errors import InputError


@dataclass(frozen=True)
class Tabulated(VariancePreserving):
    """A discrete DDPM table beta_1 .. beta_T (Ho et al. 2020), exact at its knots t = k / T.

        alpha^2(k / T) = prod_{j <= k} (1 - beta_j) = exp(-B(k / T)),    sigma^2 = 1 - alpha^2.

    Between knots beta(t) is constant, so B is piecewise linear and the log-SNR strictly monotone.
    The discrete index n = 0 .. T-1 of other libraries is the knot t = (n + 1) / T; t = 0 is clean
    data.
    """

    knots: tuple[float, ...]  # B at t = 0, 1/T, ..., 1

    @classmethod
    def from_betas(cls, betas: Sequence[float] | Tensor) -> Tabulated:
        """The process of the table beta_1 .. beta_T (T,), each strictly between 0 and 1."""
        values = torch.as_tensor(betas, dtype=torch.float64)
        if values.ndim != 1 or not bool(((values > 0) & (values < 1)).all()):
            raise InputError(
                "The betas of a table are a list of numbers strictly between 0 and 1, or its "
                "noise would not grow."
            )
        return cls.from_alphas_cumprod(torch.cumprod(1 - values, 0))

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Sequence[float] | Tensor) -> Tabulated:
        """The process of the cumulative products alpha^2(k / T), k = 1 .. T, (T,), which decrease
        strictly from below 1 to above 0.
        """
        knots = (0.0, *(-torch.as_tensor(alphas_cumprod, dtype=torch.float64).log()).tolist())
        if len(knots) < 2 or not all(a < b < math.inf for a, b in pairwise(knots)):
            raise InputError(
                "The alphas_cumprod of a table decrease strictly from below 1 to above 0, or its "
                "noise would not grow."
            )
        return cls(knots)

    @property
    def steps(self) -> int:
        """T, the number of steps of the table."""
        return len(self.knots) - 1

    def integrated_beta(self, t: Tensor) -> Tensor:
        # Linear interpolation between the knots about t.
        table, place = self._table(t), self._place(t)
        low = place.floor().clamp(0, self.steps - 1)
        index = low.long()
        return table[index] + (place - low) * (table[index + 1] - table[index])

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        table = self._table(b)
        index = torch.searchsorted(table, b.contiguous()).clamp(1, self.steps)
        return (index - 1 + (b - table[index - 1]) / (table[index] - table[index - 1])) / self.steps

    def beta(self, t: Tensor) -> Tensor:
        # beta jumps at a knot; there it is that of the step that ends there, as in DDPM's table.
        index = self._place(t).ceil().clamp(1, self.steps).long()
        table = self._table(t)
        return (table[index] - table[index - 1]) * self.steps

    def _place(self, t: Tensor) -> Tensor:
        """t T, the place of t among the knots; a place within rounding error of a knot is that
        knot.
        """
        # The correction is detached: the derivative in t stays T, which ``round`` would make 0.
        place = t * self.steps
        beside = (place.round() - place).detach()
        return torch.where(beside.abs() < 1e-9 * self.steps, place + beside, place)

    def _table(self, like: Tensor) -> Tensor:
        """B at the knots, (T + 1,), on the device of ``like``."""
        return self._on_cpu.to(like.device)

    @cached_property
    def _on_cpu(self) -> Tensor:
        return torch.tensor(self.knots, dtype=torch.float64)


@processes.register("ddpm-linear")
def ddpm_linear(beta_start: float = 1e-4, beta_end: float = 0.02, steps: int = 1000) -> Tabulated:
    """DDPM's table (Ho et al. 2020): beta_k linear in k, from 1e-4 to 0.02 over 1000 steps.

    Args:
        beta_start: beta_1.
        beta_end: beta_T.
        steps: T, the number of steps.

    Returns:
        The table as a continuous process.
    """
    return Tabulated.from_betas(torch.linspace(beta_start, beta_end, steps, dtype=torch.float64))


@processes.register("ddpm-scaled-linear")
def ddpm_scaled_linear(
    beta_start: float = 0.00085, beta_end: float = 0.012, steps: int = 1000
) -> Tabulated:
    """Stable Diffusion's table (Rombach et al. 2022): sqrt(beta_k) linear in k.

    Args:
        beta_start: beta_1.
        beta_end: beta_T.
        steps: T, the number of steps.

    Returns:
        The table as a continuous process.
    """
    return Tabulated.from_betas(
        torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    )


@processes.register("ddpm-cosine")
def ddpm_cosine(steps: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Tabulated:
    """Improved DDPM's cosine table (Nichol & Dhariwal 2021, eq. 17).

        beta_k = min(beta_max, 1 - abar(k/T) / abar((k-1)/T)),
        abar(t) = cos^2(pi/2 (t + s)/(1 + s)).

    Args:
        steps: T, the number of steps.
        s: The offset that keeps beta_1 from being too small.
        beta_max: The bound on beta_k near t = 1, where abar goes to 0.

    Returns:
        The table as a continuous process.
    """
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    abar = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return Tabulated.from_betas((1 - abar[1:] / abar[:-1]).clamp(max=beta_max))
