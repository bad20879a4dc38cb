"""Distributions of the training times, each by its inverse distribution function, and draws of the
uniform numbers u that they take.
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
from unfog.training.order import place_in_batch, streams

times: Registry[Times] = Registry("distribution of times")
uniforms: Registry[Uniforms] = Registry("draw of uniform numbers")

TINY = 2.0**-53  # keeps u inside the open interval (0, 1)


class Times(ABC):
    """A distribution of training times, given by its inverse distribution function."""

    @abstractmethod
    def __call__(self, u: Tensor, process: Process) -> Tensor:
        """Times (batch,) in (0, 1], float64, of uniform numbers ``u`` (batch,) in (0, 1),
        float64.
        """


@times.register("uniform")
@dataclass(frozen=True)
class Uniform(Times):
    """Uniform times (Ho et al. 2020): t = u in continuous time, or with ``steps`` the knots t = k /
    steps, k = 1 .. steps, of a discrete process.
    """

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
    """Log-normal noise levels (Karras et al. 2022): ln(sigma / alpha) = mean + std Phi^-1(u).

    With the prediction ``edm`` and the weight ``simple`` this is EDM's loss. On a rectified flow,
    where sigma / alpha = t / (1 - t), it is the logit-normal distribution of Esser et al. 2024.
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
    """Uniform times cut at ``start``: t = max(u, start), for the variational bound in continuous
    time, whose last step is from ``start`` to clean data.
    """

    start: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.start < 1:
            raise InputError(f"Floored times need 0 < start < 1, got {self.start}.")

    def __call__(self, u: Tensor, process: Process) -> Tensor:
        return u.clamp(min=self.start)


@times.register("geometric")
@dataclass(frozen=True)
class Geometric(Times):
    """Noise levels in geometric progression, equally often (Song & Ermon 2019):

    sigma / alpha = low (high / low)^(k / (count - 1)),   k = floor(count u).
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
    """A draw of the uniform numbers u of a batch."""

    @abstractmethod
    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        """The uniform numbers of a training step.

        Args:
            seed: The seed of the run.
            step: The training step, from 1.
            samples: The numbers of the batch's samples.

        Returns:
            Numbers in the open interval (0, 1), float64 (batch,).
        """


@uniforms.register("stratified")
@dataclass(frozen=True)
class Stratified(Uniforms):
    """Stratified draws (Kingma et al. 2021): u_i = frac(u_0 + i / batch), u_0 drawn from (seed,
    step).

    Each u_i is uniform, and every batch covers all noise levels evenly, so the loss varies less. Of
    a share of a batch i counts in the whole.
    """

    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        offset = torch.rand((), generator=generator(seed, "times", step), dtype=torch.float64)
        whole, place = place_in_batch(samples)
        i = torch.arange(whole, dtype=torch.float64)[place]
        return (offset + i / whole).frac().clamp(TINY, 1 - TINY)


@uniforms.register("independent")
@dataclass(frozen=True)
class Independent(Uniforms):
    """Independent draws: each sample's u from (seed, step, sample)."""

    def __call__(self, seed: int, step: int, samples: Sequence[int]) -> Tensor:
        drawn = [
            torch.rand((), generator=g, dtype=torch.float64)
            for g in streams("times", seed, step, samples)
        ]
        return torch.stack(drawn).clamp(TINY, 1 - TINY)
