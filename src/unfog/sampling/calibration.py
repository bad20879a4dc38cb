r"""Calibrated solvers: times and coefficients of a linear multistep solver, learned from the model's own fine trajectories.

The family is ``sampling.linear``: times t_1 .. t_{N-1} and a lower-triangular B, which holds every linear multistep solver with a free
corrector. So the search starts at the best classical one, and what it returns is never worse than that on the trajectories kept back.
With e_n the mean squared error of trajectory n at its end, against many small steps from the same start, the loss

    1/2 log mean e_n + 1/2 mean log e_n

counts the tail and the middle alike, whatever the scale. It is minimised through the network by L-BFGS over the gaps of log t and the
coefficients under the diagonal (the diagonal makes each row sum to 1). In the spirit of Watson et al. 2022 and S4S (Frankel et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.shapes import mean_per_sample
from unfog.errors import InputError
from unfog.sampling.grids import grids
from unfog.sampling.linear import LinearSolver, advance, coefficients
from unfog.sampling.loop import Report, sample
from unfog.sampling.multistep import Corrected, exact
from unfog.sampling.samplers import samplers

FINE_STEPS = 120
VALIDATION = 1 / 4  # of the trajectories are kept back to choose by
ROUND = 4  # iterations between two looks at the trajectories kept back
TINY = 1e-18

Named = Any  # the name of a registry entry, or its config
CLASSICAL: tuple[Named, ...] = ("ddim", "dpmpp-2m", "deis", "unipc", *({"name": "adams", "order": order} for order in (2, 3, 4)))


@dataclass(frozen=True)
class Trajectories:
    """Starts x_T and ends x_0 of the probability-flow ODE of one denoiser, (n, channels, *space)."""

    denoiser: Denoiser
    start: Tensor
    end: Tensor

    @classmethod
    def fine(cls, denoiser: Denoiser, noise: Tensor, first: Tensor, steps: int = FINE_STEPS) -> Trajectories:
        """The ends by third-order Adams in many steps; ``first`` is the time of the start, ``noise`` standard normal."""
        times = classical_grids(denoiser, first, steps)[0][1]
        end = sample(denoiser, noise, times, Corrected(3, exact), randomness=torch.Generator())
        return cls(denoiser, noise * denoiser.process.sigma(first).to(noise), end)

    def split(self) -> tuple[Trajectories, Trajectories]:
        """Training and validation: those to learn from, and those to choose by."""
        kept = max(1, round(VALIDATION * len(self.start)))
        if len(self.start) - kept < 1:
            raise InputError(f"A calibration needs at least 2 trajectories, got {len(self.start)}.")
        parts = [(self.start[part], self.end[part]) for part in (slice(kept, None), slice(kept))]
        return Trajectories(self.denoiser, *parts[0]), Trajectories(self.denoiser, *parts[1])

    def errors(self, times: Tensor, weights: Tensor) -> Tensor:
        """Mean squared error (n,) of the linear solver's ends; differentiable in times and weights."""
        x, seen = self.start, list[Tensor]()
        for call in range(len(weights)):
            seen.append(self.denoiser(x, times[call]).mean)
            x = advance(self.denoiser.process, times, weights[call], self.start, seen)
        return mean_per_sample((x - self.end).square())


def loss(errors: Tensor) -> Tensor:
    """1/2 log of the mean and 1/2 mean of the log: tail and middle."""
    return 0.5 * errors.mean().log() + 0.5 * (errors + TINY).log().mean()


def classical_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """Grids to start from, each beginning at ``first`` and ending at 0, with their names."""
    process = denoiser.process
    level = float(process.noise_level(first))
    found: list[tuple[Named, Tensor]] = []
    if level < float("inf"):
        names = [{"name": "karras", "rho": 7.0, "sigma_min": low} for low in (0.002, 0.01, 0.03)]
        names += [{"name": "log-snr", "sigma_min": low} for low in (0.002, 0.01, 0.03, 0.06)]
        found = [(name, grids.build({**name, "sigma_max": level})(process, steps)) for name in names]
    found.append(("uniform", grids.build({"name": "uniform", "start": float(first)})(process, steps)))
    starts = [(name, torch.cat([first[None], times[1:]])) for name, times in found]
    return [(name, times) for name, times in starts if bool((times[1:] < times[:-1]).all())]


@dataclass(frozen=True)
class CalibratedSolver:
    """A solver, the classical one it began as, and their losses on the trajectories kept back."""

    solver: LinearSolver
    sampler: Named
    grid: Named
    before: float
    after: float


def calibrate(
    sets: Sequence[Trajectories], first: Tensor, calls: int, *, iterations: int = 60, report: Report | None = None
) -> CalibratedSolver:
    """The best solver of ``calls`` network calls for these trajectories, of one model or of several alike.

    ``first`` is the time they start at. Cost: about 2.5 network calls and 1.25 backward passes an iteration, trajectory and call.
    """
    if calls < 1:
        raise InputError(f"A calibrated solver needs at least one step, got {calls}.")
    training, validation = zip(*(part.split() for part in sets), strict=True)
    sampler, grid, times, weights = _best_classical(training, first, calls)
    before = best = float(_mean_loss(validation, times, weights).detach())
    solver = LinearSolver(times, weights)
    for done, (new_times, new_weights) in enumerate(_descend(training, times, weights, iterations), 1):
        with torch.no_grad():
            score = float(_mean_loss(validation, new_times, new_weights))
        if score < best and bool((new_times[1:] < new_times[:-1]).all()):
            best, solver = score, LinearSolver(new_times, new_weights)
        if report is not None:
            report(min(ROUND * done, iterations), iterations)
    return CalibratedSolver(solver, sampler, grid, before, best)


def _mean_loss(sets: Sequence[Trajectories], times: Tensor, weights: Tensor) -> Tensor:
    return torch.stack([loss(part.errors(times, weights)) for part in sets]).mean()


def _best_classical(sets: Sequence[Trajectories], first: Tensor, calls: int) -> tuple[Named, Named, Tensor, Tensor]:
    """The classical solver and grid of the least loss."""
    process = sets[0].denoiser.process
    found = []
    for name in CLASSICAL:
        for grid, times in classical_grids(sets[0].denoiser, first, calls):
            weights = coefficients(samplers.build(name), process, times)
            with torch.no_grad():
                found.append((float(_mean_loss(sets, times, weights)), name, grid, times, weights))
    best = min((one for one in found if math.isfinite(one[0])), key=lambda one: one[0])
    return best[1:]


def _descend(sets: Sequence[Trajectories], times: Tensor, weights: Tensor, iterations: int) -> Iterator[tuple[Tensor, Tensor]]:
    """L-BFGS from a solver; yields (times, weights) after every round."""
    origin = times[0].log()
    gaps = (times[:-2].log() - times[1:-1].log()).log().requires_grad_()
    below = torch.tril(weights, -1).requires_grad_()

    def solver() -> tuple[Tensor, Tensor]:
        inner = (origin - gaps.exp().cumsum(0)).exp()
        under = torch.tril(below, -1)
        return torch.cat([times[:1], inner, times[-1:]]), under + torch.diag(1 - under.sum(1))

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for part in sets:  # one graph at a time: memory is that of one set
            with torch.enable_grad():
                value = loss(part.errors(*solver())) / len(sets)
                value.backward()  # type: ignore[no-untyped-call]
            total += float(value.detach())
        return total

    optimizer = torch.optim.LBFGS([gaps, below], lr=1.0, max_iter=ROUND, history_size=50, line_search_fn="strong_wolfe")
    for _ in range(0, iterations, ROUND):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        new_times, new_weights = solver()
        yield new_times.detach(), new_weights.detach()
