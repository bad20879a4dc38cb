"""The one sampling loop: every sampler, prior, guidance and data type goes through it.

A sampler's ``step`` takes x_t at t to x_s at s < t; what it must remember between steps goes in and
comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness
from unfog.progress import Report
from unfog.sampling.grids import check_grid

History = tuple[Any, ...]
Condition = Mapping[str, Any]


class Sampler(Protocol):
    """One step of a solver; stateless."""

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        history: History,
        randomness: Randomness,
        condition: Condition,
    ) -> tuple[Tensor, History]:
        """x_t (batch, channels, *space) at scalar float64 time t to (x_s, history)."""
        ...


@dataclass(frozen=True)
class State:
    """A point of the trajectory: x at time t."""

    x: Tensor
    t: float


def trajectory(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    sampler: Sampler,
    *,
    randomness: Randomness,
    condition: Condition | None = None,
) -> Iterator[State]:
    """Yields the state at every time of the grid, from x at grid[0] to the sample at grid[-1]."""
    times, history = check_grid(grid), ()
    yield State(x, float(times[0]))
    for t, s in pairwise(times):
        with torch.no_grad():
            x, history = sampler.step(denoiser, x, t, s, history, randomness, condition or {})
        yield State(x, float(s))


def solve(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    sampler: Sampler,
    *,
    randomness: Randomness,
    condition: Condition | None = None,
    report: Report | None = None,
) -> Tensor:
    """The state at grid[-1], from x (batch, channels, *space) at grid[0]; ``report`` is told of
    every step.
    """
    for k, state in enumerate(
        trajectory(denoiser, x, grid, sampler, randomness=randomness, condition=condition)
    ):
        x = state.x
        if report is not None:
            report(k, len(grid) - 1)
    return x


def sample(
    denoiser: Denoiser,
    noise: Tensor,
    grid: Tensor,
    sampler: Sampler,
    *,
    randomness: Randomness,
    condition: Condition | None = None,
) -> Tensor:
    """Draw samples, (batch, channels, *space).

    ``noise`` is standard normal; it is scaled to the process at grid[0]. ``randomness`` is a
    generator, or one per sample, in which case a sample does not depend on the rest of its batch.
    """
    start = denoiser.process.sigma(check_grid(grid)[0])
    return solve(
        denoiser, noise * start.to(noise), grid, sampler, randomness=randomness, condition=condition
    )
