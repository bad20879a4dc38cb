r"""The forward process: how data turns into noise.

    x_t = alpha(t) x_0 + sigma(t) noise,   t in [0, 1],   log-SNR(t) = 2 log(alpha / sigma), strictly decreasing.

t = 0 is clean data (sigma = 0). Times are float64 tensors: near t = 0 the log-SNR needs the digits.
The same marginals are those of the SDE (Song et al. 2021; Kingma et al. 2021)

    dx = f(t) x dt + g(t) dW,   f = d log alpha / dt,   g^2 = d sigma^2 / dt - 2 f sigma^2 = -sigma^2 d log-SNR / dt.

Variance preserving (alpha^2 + sigma^2 = 1): Ho et al. 2020, Song et al. 2021. Cosine: Nichol & Dhariwal 2021.
Scaled-linear: Rombach et al. 2022. EDM (alpha = 1, sigma = sigma_max t): Karras et al. 2022.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError

processes: Registry[Process] = Registry("process")


class Process(ABC):
    """Schedules alpha and sigma of t; every method maps a float64 tensor of any shape to one of the same shape."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Scale of the data."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise."""

    @abstractmethod
    def t_of(self, log_snr: Tensor) -> Tensor:
        """The time at which the log-SNR has this value: the inverse of ``log_snr``."""

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma); +inf at t = 0."""
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def noise_level(self, t: Tensor) -> Tensor:
        """sigma / alpha: the noise on the data's own scale."""
        return self.sigma(t) / self.alpha(t)

    def t_of_noise_level(self, level: Tensor) -> Tensor:
        """The time at which sigma / alpha has this value."""
        return self.t_of(-2 * torch.as_tensor(level, dtype=torch.float64).log())

    def drift(self, t: Tensor) -> Tensor:
        """f(t) of dx = f x dt + g dW, for 0 < t < 1."""
        return _slope(lambda time: self.alpha(time).log(), t)

    def diffusion(self, t: Tensor) -> Tensor:
        """g^2(t) of dx = f x dt + g dW, for 0 < t < 1."""
        return -(self.sigma(t) ** 2) * _slope(self.log_snr, t)


def _slope(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """d function / dt, elementwise."""
    with torch.enable_grad():
        time = t.detach().clone().requires_grad_()
        value = function(time)
        if not value.requires_grad:  # a constant, such as alpha where noise is only added
            return torch.zeros_like(t)
        (slope,) = torch.autograd.grad(value.sum(), time)
    return slope


class VariancePreserving(Process):
    """alpha^2 = exp(-B), sigma^2 = 1 - exp(-B), with B(t) the integral of beta from 0 to t."""

    @abstractmethod
    def integrated_beta(self, t: Tensor) -> Tensor:
        """B(t), increasing from B(0) = 0."""

    @abstractmethod
    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        """The inverse of ``integrated_beta``."""

    @abstractmethod
    def beta(self, t: Tensor) -> Tensor:
        """dB/dt."""

    def drift(self, t: Tensor) -> Tensor:
        return -0.5 * self.beta(t)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.beta(t)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-0.5 * self.integrated_beta(t))

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.integrated_beta(t)))

    def log_snr(self, t: Tensor) -> Tensor:
        return -torch.log(torch.expm1(self.integrated_beta(t)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        # B = log(1 + 1/SNR); softplus keeps its digits at both ends.
        return self.t_of_integrated_beta(torch.nn.functional.softplus(-log_snr, threshold=50.0))


def require_growth(schedule: str, **rates: float) -> None:
    """``InputError`` unless all are above zero, without which the noise of a schedule would not grow."""
    for name, rate in rates.items():
        if not 0 < rate < math.inf:
            raise InputError(f"The noise of {schedule} must grow with time: its {name} must be above zero, got {rate}.")


@processes.register("vp-linear")
@dataclass(frozen=True)
class VPLinear(VariancePreserving):
    """beta(t) grows linearly from ``beta_min`` to ``beta_max``: the continuous limit of DDPM's table (1e-4 to 0.02 over 1000 steps)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        require_growth("vp-linear", beta_min=self.beta_min, beta_max=self.beta_max)

    def integrated_beta(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        slope = self.beta_max - self.beta_min
        return 2 * b / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * b))

    def beta(self, t: Tensor) -> Tensor:
        return self.beta_min + t * (self.beta_max - self.beta_min)


@processes.register("vp-scaled-linear")
@dataclass(frozen=True)
class VPScaledLinear(VariancePreserving):
    """sqrt(beta) grows linearly: Stable Diffusion's schedule (0.00085 to 0.012 over 1000 steps)."""

    beta_min: float = 0.85
    beta_max: float = 12.0

    def __post_init__(self) -> None:
        require_growth("vp-scaled-linear", beta_min=self.beta_min, beta_max=self.beta_max)

    def integrated_beta(self, t: Tensor) -> Tensor:
        low, slope = self._line()
        return t * (low**2 + low * slope * t + (slope * t) ** 2 / 3)

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        low, slope = self._line()
        root = (low**3 + 3 * slope * b) ** (1 / 3)
        # (root - low) without cancellation, from the difference of cubes.
        return 3 * b / (root**2 + root * low + low**2)

    def beta(self, t: Tensor) -> Tensor:
        low, slope = self._line()
        return (low + slope * t) ** 2

    def _line(self) -> tuple[float, float]:
        low = math.sqrt(self.beta_min)
        return low, math.sqrt(self.beta_max) - low


@processes.register("vp-cosine")
@dataclass(frozen=True)
class VPCosine(VariancePreserving):
    """alpha(t) = cos(pi/2 (t + s)/(1 + s)) / cos(pi/2 s/(1 + s)), stopped where alpha reaches ``alpha_min``."""

    s: float = 0.008
    alpha_min: float = 1e-4

    def integrated_beta(self, t: Tensor) -> Tensor:
        start, span = self._angles()
        # log(cos(start + d) / cos(start)), without cancellation and exactly 0 at t = 0.
        d = span * t
        return -2 * torch.log1p(-2 * torch.sin(d / 2) ** 2 - math.tan(start) * torch.sin(d))

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        start, span = self._angles()
        return (torch.arccos(math.cos(start) * torch.exp(-0.5 * b)) - start) / span

    def beta(self, t: Tensor) -> Tensor:
        start, span = self._angles()
        return 2 * span * torch.tan(start + span * t)

    def _angles(self) -> tuple[float, float]:
        start = 0.5 * math.pi * self.s / (1 + self.s)
        return start, math.acos(self.alpha_min * math.cos(start)) - start


@dataclass(frozen=True)
class Tabulated(VariancePreserving):
    """A discrete DDPM table beta_1 .. beta_T, exact at its knots t = k / T.

    Between knots beta(t) is constant, so B is piecewise linear and the log-SNR strictly monotone. The discrete index
    n = 0 .. T-1 of other libraries is the knot t = (n + 1) / T; t = 0 is clean data.
    """

    knots: tuple[float, ...]  # B at t = 0, 1/T, ..., 1

    @classmethod
    def from_betas(cls, betas: Sequence[float] | Tensor) -> Tabulated:
        values = torch.as_tensor(betas, dtype=torch.float64)
        if values.ndim != 1 or not bool(((values > 0) & (values < 1)).all()):
            raise InputError("The betas of a table are a list of numbers strictly between 0 and 1, or its noise would not grow.")
        return cls.from_alphas_cumprod(torch.cumprod(1 - values, 0))

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Sequence[float] | Tensor) -> Tabulated:
        knots = (0.0, *(-torch.as_tensor(alphas_cumprod, dtype=torch.float64).log()).tolist())
        if len(knots) < 2 or not all(a < b < math.inf for a, b in pairwise(knots)):
            raise InputError("The alphas_cumprod of a table decrease strictly from below 1 to above 0, or its noise would not grow.")
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
        """t in units of the table's stride, rounded to the knot it means (with t's own slope, which rounding has not)."""
        place = t * self.steps
        beside = (place.round() - place).detach()
        return torch.where(beside.abs() < 1e-9 * self.steps, place + beside, place)

    def _table(self, like: Tensor) -> Tensor:
        return torch.tensor(self.knots, dtype=torch.float64, device=like.device)


@processes.register("ddpm-linear")
def ddpm_linear(beta_start: float = 1e-4, beta_end: float = 0.02, steps: int = 1000) -> Tabulated:
    """DDPM's table: beta linear from 1e-4 to 0.02 over 1000 steps (Ho et al. 2020)."""
    return Tabulated.from_betas(torch.linspace(beta_start, beta_end, steps, dtype=torch.float64))


@processes.register("ddpm-scaled-linear")
def ddpm_scaled_linear(beta_start: float = 0.00085, beta_end: float = 0.012, steps: int = 1000) -> Tabulated:
    """Stable Diffusion's table: sqrt(beta) linear (Rombach et al. 2022)."""
    return Tabulated.from_betas(torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2)


@processes.register("ddpm-cosine")
def ddpm_cosine(steps: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Tabulated:
    """Improved DDPM's table: beta_k = 1 - abar(k/T) / abar((k-1)/T), capped (Nichol & Dhariwal 2021)."""
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    abar = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return Tabulated.from_betas((1 - abar[1:] / abar[:-1]).clamp(max=beta_max))


@processes.register("edm")
@dataclass(frozen=True)
class EDM(Process):
    """alpha = 1, sigma = sigma_max t: noise is simply added (Karras et al. 2022)."""

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        require_growth("edm", sigma_max=self.sigma_max)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * t

    def t_of(self, log_snr: Tensor) -> Tensor:
        return torch.exp(-0.5 * log_snr) / self.sigma_max
