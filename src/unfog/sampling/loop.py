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
from unfog.core.space import PLAIN, Space
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
        """One step.

        Args:
            denoiser: Gives E[x_0 | x_t].
            x_t: The state at t, (batch, channels, *space).
            t: A scalar time, float64.
            s: The next time, s < t.
            history: What the sampler wants to remember of earlier steps; empty at first.
            randomness: A generator, or one for each sample.
            condition: What the denoiser is told, by name.

        Returns:
            x_s, and the history for the next step.
        """
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
    space: Space = PLAIN,
) -> Iterator[State]:
    """The states of a solver, one after the other.

    Args:
        denoiser: Gives E[x_0 | x_t].
        x: The state at grid[0], (batch, channels, *space).
        grid: Times, strictly decreasing, float64.
        sampler: Takes a state from one time to the next.
        randomness: A generator, or one for each sample.
        condition: What the denoiser is told, by name.
        space: Where states live; noise is drawn on it and every state projected onto it.

    Yields:
        The state at every time of the grid, from ``x`` at grid[0] to the sample at grid[-1].
    """
    times, history, source = check_grid(grid), (), space.on(randomness)
    yield State(x, float(times[0]))
    for t, s in pairwise(times):
        with torch.no_grad():
            x, history = sampler.step(denoiser, x, t, s, history, source, condition or {})
            x = space.project(x)
        yield State(x, float(s))


def solve(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    sampler: Sampler,
    *,
    randomness: Randomness,
    condition: Condition | None = None,
    space: Space = PLAIN,
    report: Report | None = None,
) -> Tensor:
    """The last state of ``trajectory``, which has the other arguments.

    Args:
        report: Told (steps done, steps in all) after every step.

    Returns:
        The state at grid[-1], (batch, channels, *space).
    """
    states = trajectory(
        denoiser, x, grid, sampler, randomness=randomness, condition=condition, space=space
    )
    for k, state in enumerate(states):
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
    space: Space = PLAIN,
) -> Tensor:
    """Samples from noise.

    Args:
        denoiser: Gives E[x_0 | x_t].
        noise: Standard normal, (batch, channels, *space); scaled to the process at grid[0].
        grid: Times, strictly decreasing, float64.
        sampler: Takes a state from one time to the next.
        randomness: A generator, or one for each sample, in which case a sample does not depend on
            the rest of its batch.
        condition: What the denoiser is told, by name.
        space: Where states live.

    Returns:
        Samples (batch, channels, *space).
    """
    start = denoiser.process.sigma(check_grid(grid)[0])
    x = space.project(noise) * start.to(noise)
    return solve(
        denoiser, x, grid, sampler, randomness=randomness, condition=condition, space=space
    )
