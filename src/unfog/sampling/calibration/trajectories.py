r"""Trajectories of the probability-flow ODE in many small steps, the reference of solvers of few
calls: a solver's errors are those of its ends and of its denoised estimates D on the way.

Where trajectories part, a solver's error is seen at the end only once one of them has ended in
another mode, and then it is all there at once; D leans towards that mode long before, and by
degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.loop import solve
from unfog.sampling.moments import exact
from unfog.sampling.multistep import ExponentialAdamsMoulton

PARTED = 0.1  # of the ends' variance: an end as far off as this counts as in another mode
KNOTS = 64  # states and denoised estimates kept of a trajectory
VALIDATION = 1 / 4  # of the trajectories are kept back to choose by
TINY = 1e-18


@dataclass(frozen=True)
class Way:
    """States and denoised estimates at some knots of trajectories. Between knots both are cubics
    in the angle phi = atan(sigma / alpha), in which trajectories are smooth from pure noise to
    clean data (Lu & Song 2024, "TrigFlow").

    Args:
        angles: phi of the knots, (knots,), falling.
        states: x_t / sqrt(alpha^2 + sigma^2), (knots, n, channels, *space).
        estimates: D, likewise.
    """

    angles: Tensor
    states: Tensor
    estimates: Tensor

    def state(self, process: Process, t: Tensor) -> Tensor:
        """x_t at one time, (n, channels, *space)."""
        return self._between(self.states, process, t) * torch.hypot(
            process.alpha(t), process.sigma(t)
        ).to(self.states)

    def estimate(self, process: Process, t: Tensor) -> Tensor:
        """D at one time, (n, channels, *space), differentiable in it."""
        return self._between(self.estimates, process, t)

    def _between(self, values: Tensor, process: Process, t: Tensor) -> Tensor:
        """Lagrange's cubic through the four knots about a time."""
        phi = torch.atan2(process.sigma(t), process.alpha(t))
        # The four knots about phi.
        above = int((self.angles > phi.detach()).sum())
        first = min(max(above - 2, 0), len(self.angles) - 4)
        knots, near = self.angles[first : first + 4], values[first : first + 4]
        total = torch.zeros_like(near[0])
        for i in range(4):
            others = torch.cat([knots[:i], knots[i + 1 :]])
            total = total + expand(((phi - others) / (knots[i] - others)).prod(), total) * near[i]
        return total


class _Watched(Denoiser):
    """A denoiser that keeps the times, states and estimates of some of its calls."""

    def __init__(self, inner: Denoiser, kept: set[int]) -> None:
        super().__init__()
        self.inner, self.process, self.kept = inner, inner.process, kept
        self.call, self.times, self.states, self.estimates = (
            0,
            list[Tensor](),
            list[Tensor](),
            list[Tensor](),
        )

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        posterior: Posterior = self.inner(x_t, t, **condition)
        if self.call in self.kept:
            for values, value in (
                (self.times, t),
                (self.states, x_t),
                (self.estimates, posterior.mean),
            ):
                values.append(value)
        self.call += 1
        return posterior

    def way(self) -> Way:
        """The states and estimates that were kept."""
        times = torch.stack(self.times)
        alpha, sigma = self.scales(times)
        states = torch.stack(self.states)
        return Way(
            torch.atan2(sigma, alpha),
            states / expand(torch.hypot(alpha, sigma), states),
            torch.stack(self.estimates),
        )


@dataclass(frozen=True)
class Trajectories:
    """Trajectories of the probability-flow ODE of one denoiser.

    Args:
        denoiser: the model.
        start: x_T, (n, channels, *space).
        end: x_0, likewise.
        way: states and estimates between them.
    """

    denoiser: Denoiser
    start: Tensor
    end: Tensor
    way: Way

    @classmethod
    def fine(cls, denoiser: Denoiser, noise: Tensor, times: Tensor) -> Trajectories:
        """Trajectories solved by third-order exponential Adams in many steps.

        Args:
            denoiser: the model.
            noise: standard normal, (n, channels, *space).
            times: (steps + 1,), falling to 0.

        Returns:
            The trajectories.
        """
        start, last = noise * denoiser.process.sigma(times[0]).to(noise), len(times) - 2
        watched = _Watched(denoiser, {*range(0, last, max(1, len(times) // KNOTS)), last})
        end = solve(
            watched, start, times, ExponentialAdamsMoulton(3, exact), randomness=torch.Generator()
        )
        return cls(denoiser, start, end, watched.way())

    def state(self, t: Tensor) -> Tensor:
        """The true states at one time of the way, or the ends, (n, channels, *space)."""
        process = self.denoiser.process
        return self.end if float(process.sigma(t)) == 0 else self.way.state(process, t)

    def split(self) -> tuple[Trajectories, Trajectories]:
        """Training and validation trajectories: those to learn from, and a quarter to
        choose by.
        """
        validation = max(1, round(VALIDATION * len(self.start)))
        if len(self.start) - validation < 1:
            raise InputError(f"A calibration needs at least 2 trajectories, got {len(self.start)}.")
        return self.part(slice(validation, None)), self.part(slice(validation))

    def part(self, samples: slice) -> Trajectories:
        """Some of the trajectories."""
        way = Way(self.way.angles, self.way.states[:, samples], self.way.estimates[:, samples])
        return Trajectories(self.denoiser, self.start[samples], self.end[samples], way)

    def solve(self, solver: LinearSolver) -> tuple[Tensor, list[Tensor]]:
        """The linear solver's ends (n, channels, *space), and its denoised estimates, one a call;
        both differentiable.
        """
        x, estimates = self.start, list[Tensor]()
        for call in range(len(solver.weights)):
            estimates.append(solver.estimate(self.denoiser, x, call, {}))
            x = solver.state(self.denoiser.process, self.start, estimates)
        return x, estimates

    def errors(self, solver: LinearSolver) -> tuple[Tensor, Tensor]:
        """Mean squared errors (n,) of the linear solver: of its ends, and of its estimates on the
        way, as a mean over the angle. A mean over the calls would make a grid worse for looking
        where estimates differ most.
        """
        end, estimates = self.solve(solver)
        last, process, times = (
            mean_per_sample((end - self.end).square()),
            self.denoiser.process,
            solver.times,
        )
        inner = zip(times[1:-1], estimates[1:], strict=True)
        way = [mean_per_sample((d - self.way.estimate(process, t)).square()) for t, d in inner]
        if not way:
            return last, last
        angles = torch.atan2(process.sigma(times), process.alpha(times)).detach()
        spans = angles[:-2] - angles[2:]
        return last, torch.einsum("i,in->n", (spans / spans.sum()).to(last), torch.stack(way))

    def standing(self, solver: LinearSolver) -> Tensor:
        """How a linear solver stands: logs (2,) of its squared errors, of their mean, the way's
        included, and of the middle half of the ends'. An end in another mode says nothing of how
        near the right one was, so it counts as no more than ``PARTED``.
        """
        last, way = self.errors(solver)
        spread = (self.end - self.end.mean(0)).square().mean()
        quarter = len(last) // 4
        middle_half = (last + TINY).log().sort().values[quarter : len(last) - quarter]
        return torch.stack(
            [(last.clamp(max=PARTED * spread).mean() + way.mean()).log(), middle_half.mean()]
        )
