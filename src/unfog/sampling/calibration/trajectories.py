"""Reference trajectories of the probability-flow ODE in many small steps, and a linear solver's
errors against them, at the end and on the way.

On the way the denoised estimates D are compared. Where trajectories separate towards different
modes, the error of the end jumps once one ends in another mode; that of D grows gradually and much
earlier, which a gradient method can use.
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
from unfog.sampling.multistep import ExponentialAdamsMoulton, exact

PARTED = 0.1  # of the ends' variance: an end as far off as this counts as being in another mode
KNOTS = 64  # states and denoised estimates kept of a trajectory
VALIDATION = 1 / 4  # of the trajectories are kept back to choose by
TINY = 1e-18


@dataclass(frozen=True)
class Way:
    """Trajectories at some of their times, interpolated between: the ``states`` over sqrt(alpha^2 +
    sigma^2) and the denoised ``estimates``, each (knots, n, channels, *space), at falling
    ``angles`` (knots,).

    Interpolation is cubic in the angle phi = atan(sigma / alpha), in which trajectories are smooth
    from pure noise to clean data (Lu & Song 2024, "TrigFlow").
    """

    angles: Tensor
    states: Tensor
    estimates: Tensor

    def state(self, process: Process, t: Tensor) -> Tensor:
        """The states x_t (n, channels, *space) at one time."""
        return self._between(self.states, process, t) * torch.hypot(
            process.alpha(t), process.sigma(t)
        ).to(self.states)

    def estimate(self, process: Process, t: Tensor) -> Tensor:
        """The denoised estimates (n, channels, *space) at one time, differentiable in it."""
        return self._between(self.estimates, process, t)

    def _between(self, values: Tensor, process: Process, t: Tensor) -> Tensor:
        """Lagrange's cubic through the four knots about a time."""
        # Two knots on either side of phi, or the outermost four.
        phi = torch.atan2(process.sigma(t), process.alpha(t))
        above = int((self.angles > phi.detach()).sum())
        first = min(max(above - 2, 0), len(self.angles) - 4)
        knots, near = self.angles[first : first + 4], values[first : first + 4]
        # sum_i y_i prod_{j != i} (phi - phi_j) / (phi_i - phi_j).
        total = torch.zeros_like(near[0])
        for i in range(4):
            others = torch.cat([knots[:i], knots[i + 1 :]])
            total = total + expand(((phi - others) / (knots[i] - others)).prod(), total) * near[i]
        return total


class _Watched(Denoiser):
    """Another denoiser that records times, states and estimates at those of its calls in
    ``kept``.
    """

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
        """The recorded calls as a ``Way``."""
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
    """Reference trajectories of one denoiser's probability-flow ODE: their starts x_T and ends x_0,
    (n, channels, *space), and their ``way`` between.
    """

    denoiser: Denoiser
    start: Tensor
    end: Tensor
    way: Way

    @classmethod
    def fine(cls, denoiser: Denoiser, noise: Tensor, times: Tensor) -> Trajectories:
        """Trajectories by the third-order exponential Adams-Moulton method in many steps.

        Args:
            denoiser: The model.
            noise: Standard normal noise (n, channels, *space).
            times: The times, float64, falling to 0.

        Returns:
            The trajectories, with about ``KNOTS`` of their states kept.
        """
        start, last = noise * denoiser.process.sigma(times[0]).to(noise), len(times) - 2
        watched = _Watched(denoiser, {*range(0, last, max(1, len(times) // KNOTS)), last})
        end = solve(
            watched, start, times, ExponentialAdamsMoulton(3, exact), randomness=torch.Generator()
        )
        return cls(denoiser, start, end, watched.way())

    def state(self, t: Tensor) -> Tensor:
        """The states at one time, (n, channels, *space); the ends where sigma is 0."""
        process = self.denoiser.process
        return self.end if float(process.sigma(t)) == 0 else self.way.state(process, t)

    def split(self) -> tuple[Trajectories, Trajectories]:
        """The trajectories split into training and validation."""
        kept = max(1, round(VALIDATION * len(self.start)))
        if len(self.start) - kept < 1:
            raise InputError(f"A calibration needs at least 2 trajectories, got {len(self.start)}.")
        return self.part(slice(kept, None)), self.part(slice(kept))

    def part(self, samples: slice) -> Trajectories:
        """The trajectories of a slice of the samples."""
        way = Way(self.way.angles, self.way.states[:, samples], self.way.estimates[:, samples])
        return Trajectories(self.denoiser, self.start[samples], self.end[samples], way)

    def solve(self, solver: LinearSolver) -> tuple[Tensor, list[Tensor]]:
        """A linear solver run from the same starts: its ends (n, channels, *space), and its
        denoised estimates at each call; differentiable in the solver.
        """
        x, estimates = self.start, list[Tensor]()
        for call in range(len(solver.weights)):
            estimates.append(solver.estimate(self.denoiser, x, call, {}))
            x = solver.state(self.denoiser.process, self.start, estimates)
        return x, estimates

    def errors(self, solver: LinearSolver) -> tuple[Tensor, Tensor]:
        """A linear solver's mean squared errors (n,): of its ends, and of its denoised estimates on
        the way, averaged over the angle.

        An average over the calls would count it against a grid that it has many calls where
        estimates change most.
        """
        end, estimates = self.solve(solver)
        last, process, times = (
            mean_per_sample((end - self.end).square()),
            self.denoiser.process,
            solver.times,
        )
        # At each call after the first: how far D is from the reference trajectory's.
        inner = zip(times[1:-1], estimates[1:], strict=True)
        way = [mean_per_sample((d - self.way.estimate(process, t)).square()) for t, d in inner]
        if not way:
            return last, last
        # Weights of the trapezoidal rule in the angle.
        angles = torch.atan2(process.sigma(times), process.alpha(times)).detach()
        spans = angles[:-2] - angles[2:]
        return last, torch.einsum("i,in->n", (spans / spans.sum()).to(last), torch.stack(way))

    def standing(self, solver: LinearSolver) -> Tensor:
        """The logs (2,) of two summaries of a linear solver's squared errors, which a calibration
        minimises: the mean over trajectories (of the ends, plus that on the way), and the mean log
        of the middle half of the ends' errors.

        How far off an end in another mode is says nothing of the solver's accuracy, so in the mean
        it counts as no more than ``PARTED``.
        """
        last, way = self.errors(solver)
        spread = (self.end - self.end.mean(0)).square().mean()
        quarter = len(last) // 4
        middle = (last + TINY).log().sort().values[quarter : len(last) - quarter]
        return torch.stack(
            [(last.clamp(max=PARTED * spread).mean() + way.mean()).log(), middle.mean()]
        )
