"""The contract of a forward process. Each schedule is a class of its own in this folder."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.core.shapes import Number
from unfog.errors import InputError

processes: Registry[Process] = Registry("process")
REMEMBERED = 4096  # times


@dataclass(frozen=True)
class Instant:
    """A process at one time, as numbers of the host: a step's arithmetic is then a few products.

    Args:
        alpha: The scale of the data.
        sigma: The standard deviation of the noise.
        log_snr: 2 log(alpha / sigma); +inf at t = 0.
    """

    alpha: float
    sigma: float
    log_snr: float

    @property
    def lam(self) -> float:
        """log(alpha / sigma), the time of exponential integrators."""
        return 0.5 * self.log_snr


class Process(ABC):
    """A forward (noising) process, given by its schedules alpha(t) and sigma(t),

        x_t = alpha(t) x_0 + sigma(t) noise,   t in [0, 1],   log-SNR(t) = 2 log(alpha / sigma)

    with the log-SNR strictly decreasing, so that t = 0 is clean data (sigma = 0). The same
    marginals are those of the SDE

        dx = f(t) x dt + g(t) dW,   f = d log alpha / dt,   g^2 = -sigma^2 d log-SNR / dt

    (Song et al. 2021; Kingma et al. 2021). Every method maps a float64 tensor of any shape to one
    of the same shape; in float32 the log-SNR near t = 0 would lose its digits. A subclass gives
    ``alpha``, ``sigma`` and ``t_of``.
    """

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
        """sigma / alpha, the deviation of the noise in x_t / alpha: Karras' sigma."""
        return self.sigma(t) / self.alpha(t)

    def t_of_noise_level(self, level: Tensor) -> Tensor:
        """The time at which sigma / alpha has this value."""
        return self.t_of(-2 * torch.as_tensor(level, dtype=torch.float64).log())

    def at(self, t: Tensor) -> Instant:
        """The process at one time, remembered: a grid's times come again with every batch."""
        time = float(t)
        if time not in self._instants:
            if len(self._instants) >= REMEMBERED:
                self._instants.clear()
            one = torch.tensor(time, dtype=torch.float64)
            self._instants[time] = Instant(
                float(self.alpha(one)), float(self.sigma(one)), float(self.log_snr(one))
            )
        return self._instants[time]

    def scales(self, t: Tensor) -> tuple[Number, Number]:
        """alpha and sigma: as floats at one time, else shaped as the times."""
        if t.ndim:
            return self.alpha(t), self.sigma(t)
        now = self.at(t)
        return now.alpha, now.sigma

    @cached_property
    def _instants(self) -> dict[float, Instant]:
        return {}

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


def require_growth(schedule: str, **rates: float) -> None:
    """Raise ``InputError`` unless all ``rates`` are finite and above zero: only then does the noise
    of the schedule grow with time.
    """
    for name, rate in rates.items():
        if not 0 < rate < math.inf:
            raise InputError(
                f"The noise of {schedule} must grow with time: its {name} must be above zero, "
                f"got {rate}."
            )
