"""Variance-preserving processes in continuous time, and sub-VP, which has their alpha and less
noise.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.process.base import Process, processes, require_growth


class VariancePreserving(Process):
    """A variance-preserving process (Ho et al. 2020; Song et al. 2021, eq. 29): alpha^2 + sigma^2
    = 1.

        alpha^2 = exp(-B(t)),    sigma^2 = 1 - exp(-B(t)),    B(t) = int_0^t beta,
        dx = -beta/2 x dt + sqrt(beta) dW.

    A subclass gives beta, B and the inverse of B.
    """

    @abstractmethod
    def integrated_beta(self, t: Tensor) -> Tensor:
        """B(t), increasing from B(0) = 0."""

    @abstractmethod
    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        """The inverse of ``integrated_beta``."""

    @abstractmethod
    def beta(self, t: Tensor) -> Tensor:
        """beta(t) = dB/dt."""

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


@processes.register("vp-linear")
@dataclass(frozen=True)
class VPLinear(VariancePreserving):
    """The VP SDE of Song et al. (2021, eq. 33), the continuous limit of DDPM's table: beta linear.

    beta(t) = beta_min + t (beta_max - beta_min),
    B(t) = beta_min t + (beta_max - beta_min) t^2 / 2,      alpha^2 = exp(-B) = 1 - sigma^2.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        require_growth("vp-linear", beta_min=self.beta_min, beta_max=self.beta_max)

    def integrated_beta(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        # The root of the quadratic, in the form that does not cancel where the slope is small.
        slope = self.beta_max - self.beta_min
        return 2 * b / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * b))

    def beta(self, t: Tensor) -> Tensor:
        return self.beta_min + t * (self.beta_max - self.beta_min)


@processes.register("vp-scaled-linear")
@dataclass(frozen=True)
class VPScaledLinear(VariancePreserving):
    """Stable Diffusion's schedule in continuous time (Rombach et al. 2022): sqrt(beta) linear.

        sqrt(beta(t)) = l + m t,      l^2 = beta_min,   (l + m)^2 = beta_max,
        B(t) = l^2 t + l m t^2 + m^2 t^3 / 3,      alpha^2 = exp(-B) = 1 - sigma^2.

    The defaults are its table's 0.00085 and 0.012 times its 1000 steps.
    """

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
        """l and m of sqrt(beta) = l + m t."""
        low = math.sqrt(self.beta_min)
        return low, math.sqrt(self.beta_max) - low


@processes.register("vp-cosine")
@dataclass(frozen=True)
class VPCosine(VariancePreserving):
    """The cosine schedule in continuous time (Nichol & Dhariwal 2021, eq. 17).

        alpha(t) = cos(pi/2 (t + s)/(1 + s)) / cos(pi/2 s/(1 + s)),      sigma^2 = 1 - alpha^2,

    with t scaled by a number slightly below 1, so that alpha(1) is ``alpha_min`` and not 0.
    """

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
        """The cosine's angle at t = 0, and its change up to t = 1."""
        start = 0.5 * math.pi * self.s / (1 + self.s)
        return start, math.acos(self.alpha_min * math.cos(start)) - start


@processes.register("vp-polynomial")
@dataclass(frozen=True)
class VPPolynomial(VariancePreserving):
    """The polynomial schedule in continuous time (Hoogeboom et al. 2022, arXiv:2203.17003).

        alpha(t) = 1 - (1 - sqrt(s)) t^power,      sigma^2 = 1 - alpha^2,

    so that alpha(1)^2 = s. The authors also keep sigma(0)^2 at s; here t = 0 is clean, and alpha^2
    differs by s at most.
    """

    power: float = 2.0
    s: float = 1e-5

    def __post_init__(self) -> None:
        require_growth("vp-polynomial", power=self.power, s=self.s)

    def integrated_beta(self, t: Tensor) -> Tensor:
        return -2 * torch.log1p(-self._fall * t**self.power)

    def t_of_integrated_beta(self, b: Tensor) -> Tensor:
        return (-torch.expm1(-0.5 * b) / self._fall) ** (1 / self.power)

    def beta(self, t: Tensor) -> Tensor:
        return 2 * self._fall * self.power * t ** (self.power - 1) / self.alpha(t)

    @property
    def _fall(self) -> float:
        """By how much alpha falls from t = 0 to t = 1."""
        return 1 - math.sqrt(self.s)


@processes.register("sub-vp")
@dataclass(frozen=True)
class SubVariancePreserving(Process):
    """The sub-VP SDE (Song et al. 2021, eq. 29): the drift of ``vp-linear`` with less noise.

        alpha = exp(-B(t) / 2),    sigma = 1 - exp(-B(t)),    B that of ``vp-linear``.

    sigma is the number that is sigma^2 in ``vp-linear``.
    """

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
        """The process with the same drift, whose B this one has."""
        return VPLinear(self.beta_min, self.beta_max)
