r"""Training times: how often each noise level is seen.

    uniform: t = u, or the knots k / steps,
    log-normal: ln(sigma / alpha) = mean + std Phi^-1(u),
    geometric: sigma / alpha = low (high / low)^(k / (count - 1)),   k = floor(count u),

with u uniform on (0, 1). Uniform: Ho et al. 2020. Log-normal: Karras et al. 2022; on a rectified
flow, where sigma / alpha = t / (1 - t), it is the logit-normal of Esser et al. 2024. Geometric:
Song & Ermon 2019. Stratified u (one offset a batch, then equal steps: every batch covers all noise
levels, so the loss varies less): Kingma et al. 2021.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.process import Process
from unfog.core.random import generator
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.training.order import streams

times: Registry[Times] = Registry("distribution of times")
uniforms: Registry[Uniforms] = Registry("draw of uniform numbers")

TINY = 2.0**-53  # keeps u inside the open interval (0, 1)


class Times(ABC):
    """A distribution of times, given by its inverse distribution function."""

    @abstractmethod
    def __call__(self, u: Tensor, process: Process) -> Tensor:
        """Times (batch,) in (0, 1], float64, of uniform numbers ``u`` (batch,) in (0, 1),
        float64.
        """


@times.register("uniform")
@dataclass(frozen=True)
class Uniform(Times):
    """All of (0, 1) alike, or the knots k / steps, k = 1 .. steps, of a discrete process."""

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise InputError(
                f"Uniform times need steps >= 1, or none for continuous time, got {self.steps}."
            )

    def __call__(self, u: Tensor, process: Process) -> Tensor:
        return (
            u
            if self.steps is None
            else (u * self.steps).floor().add(1).clamp(max=self.steps) / self.steps
        )


@times.register("log-normal")
@dataclass(frozen=True)
class LogNormal(Times):
    """ln(sigma / alpha) is normal; with the prediction ``edm`` and equal weights this is EDM's
    loss.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InputError(f"Log-normal times need std > 0, got {self.std}.")

    def __call__(self, u: Tensor, process: Process) -> Tensor:
        level = torch.exp(self.mean + self.std * torch.special.ndtri(u))
        return process.t_of_noise_level(level).clamp(TINY, 1.0)  # a process ends at t = 1


@times.register("floored")
@dataclass(frozen=True)
class Floored(Times):
    """Uniform, with all that would fall below ``start`` at ``start`` itself."""

    start: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.start < 1:
            raise InputError(f"Floored times need 0 < start < 1, got {self.start}.")

    def __call__(self, u: Tensor, process: Process) -> Tensor:
        return u.clamp(min=self.start)


@times.register("geometric")
@dataclass(frozen=True)
class Geometric(Times):
    """``count`` noise levels sigma / alpha in geometric progression from ``low`` to ``high``, all
    alike often.
    """

    count: int = 232
    low: float = 0.01
    high: float = 50.0

    def __post_init__(self) -> None:
        if self.count < 2 or not 0 < self.low < self.high:
            raise InputError(
                f"Geometric levels need count >= 2 and 0 < low < high, got {self.count}, "
                f"{self.low} and {self.high}."
            )

    def __call__(self, u: Tensor, process: Process) -> Tensor:
        k = (u * self.count).floor().clamp(max=self.count - 1)
        level = self.low * (self.high / self.low) ** (k / (self.count - 1))
        return process.t_of_noise_level(level).clamp(TINY, 1.0)


class Uniforms(ABC):
    """Draws the uniform numbers of a batch."""

    @abstractmethod
    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        """(batch,) numbers in (0, 1), float64."""


@uniforms.register("stratified")
@dataclass(frozen=True)
class Stratified(Uniforms):
    """u_i = frac(u_0 + i / batch), u_0 drawn from (seed, step): each is uniform, together they are
    spread evenly.
    """

    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        offset = torch.rand((), generator=generator(seed, "times", step), dtype=torch.float64)
        return (
            (offset + torch.arange(len(samples), dtype=torch.float64) / len(samples))
            .frac()
            .clamp(TINY, 1 - TINY)
        )


@uniforms.register("independent")
@dataclass(frozen=True)
class Independent(Uniforms):
    """Each sample draws its own from (seed, step, sample)."""

    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        drawn = [
            torch.rand((), generator=g, dtype=torch.float64)
            for g in streams("times", seed, step, samples)
        ]
        return torch.stack(drawn).clamp(TINY, 1 - TINY)
