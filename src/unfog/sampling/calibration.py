r"""Calibrated solvers: times and coefficients of a linear multistep solver, learned from the model's own fine trajectories.

The family is ``sampling.linear``: times t_1 .. t_{N-1} and a lower-triangular B, which holds every linear multistep solver with a free
corrector. So the search starts at the best classical one, and what it returns is never worse than that on the trajectories kept back.
With e_n the mean squared error of trajectory n at its end, against many small steps from the same start, the loss

    3/4 log mean e_n + 1/4 mean of log e_n over the middle half of all e_n

serves the tail and the median, whatever the scale. It is minimised through the network by L-BFGS over the gaps of log t and the
coefficients under the diagonal (the diagonal makes each row sum to 1), in coordinates where they are independent.
In the spirit of Watson et al. 2022 and S4S (Frankel et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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
STARTS, ROUND = 4, 4  # grids in the race; iterations between two looks at the trajectories kept back
TAIL, MIDDLE, TINY = 3 / 4, 1 / 2, 1e-18
STRETCH, RIDGE = 0.1, 1e-5  # the unit of log-gaps; what keeps directions that hardly matter from growing

Named = Any  # the name of a registry entry, or its config
CLASSICAL: tuple[Named, ...] = (
    "ddim",
    "dpmpp-2m",
    "dpmpp-3m",
    "deis",
    "unipc",
    *({"name": "adams", "order": order} for order in (2, 3, 4)),
)


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

    def solve(self, times: Tensor, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The linear solver's ends (n, channels, *space), and the denoised estimate of each call; differentiable."""
        x, seen = self.start, list[Tensor]()
        for call in range(len(weights)):
            seen.append(self.denoiser(x, times[call]).mean)
            x = advance(self.denoiser.process, times, weights[call], self.start, seen)
        return x, seen

    def errors(self, times: Tensor, weights: Tensor) -> Tensor:
        """Mean squared error (n,) of the linear solver's ends; differentiable in times and weights."""
        return mean_per_sample((self.solve(times, weights)[0] - self.end).square())


def loss(errors: Tensor) -> Tensor:
    """Tail and median: the log of the mean, and the mean of the log over the middle of the sorted errors."""
    outside = int(len(errors) * (1 - MIDDLE) / 2)
    middle = (errors + TINY).log().sort().values[outside : len(errors) - outside]
    return TAIL * errors.mean().log() + (1 - TAIL) * middle.mean()


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
class Classical:
    """A classical solver on one of its grids, as a linear solver, and its loss on the training trajectories."""

    loss: float
    sampler: Named
    grid: Named
    solver: LinearSolver


@dataclass(frozen=True)
class CalibratedSolver:
    """A solver, the classical one it began as, and two losses on the trajectories kept back: the best classical one's, and its own."""

    solver: LinearSolver
    sampler: Named
    grid: Named
    before: float
    after: float


def calibrate(
    sets: Sequence[Trajectories], first: Tensor, calls: int, *, iterations: int = 60, report: Report | None = None
) -> CalibratedSolver:
    """The best solver of ``calls`` network calls for these trajectories, of one model or of several alike.

    ``first`` is the time they start at. The best grids race for the first quarter of the iterations, and the one ahead goes on alone.
    Cost: about 4 network calls and 2 backward passes an iteration, trajectory and call, after 64 network calls for the start.
    """
    if calls < 1:
        raise InputError(f"A calibrated solver needs at least one step, got {calls}.")
    training, validation = zip(*(part.split() for part in sets), strict=True)
    starts = _classical(training, first, calls)[:STARTS]
    before = _validate(validation, starts[0].solver)
    best = CalibratedSolver(starts[0].solver, starts[0].sampler, starts[0].grid, before, before)
    rounds = iterations // ROUND
    trial = -(-rounds // 4)
    total, done = len(starts) * trial + rounds - trial, 0
    race = [(start, _descend(training, start.solver)) for start in starts]
    for length in (trial, rounds - trial):
        finish = []
        for start, descent in race:
            score = math.inf
            for solver in islice(descent, length):
                score, done = _validate(validation, solver), done + 1
                if score < best.after:
                    best = CalibratedSolver(solver, start.sampler, start.grid, before, score)
                if report is not None:
                    report(done, total)
            finish.append(score)
        race = [race[min(range(len(race)), key=finish.__getitem__)]]
    return best


def _validate(sets: Sequence[Trajectories], solver: LinearSolver) -> float:
    """The loss; infinite where the times are out of order."""
    if not bool((solver.times[1:] < solver.times[:-1]).all()):
        return math.inf
    with torch.no_grad():
        score = float(torch.stack([loss(part.errors(solver.times, solver.weights)) for part in sets]).mean())
    return score if math.isfinite(score) else math.inf


def _classical(sets: Sequence[Trajectories], first: Tensor, calls: int) -> list[Classical]:
    """The best classical solver of each grid, the best grid first."""
    process, found = sets[0].denoiser.process, []
    for grid, times in classical_grids(sets[0].denoiser, first, calls):
        solvers = [(name, LinearSolver(times, coefficients(samplers.build(name), process, times))) for name in CLASSICAL]
        tried = [Classical(_validate(sets, solver), name, grid, solver) for name, solver in solvers]
        found.append(min(tried, key=lambda one: one.loss))
    return sorted(found, key=lambda one: one.loss)


def _descend(sets: Sequence[Trajectories], start: LinearSolver) -> Iterator[LinearSolver]:
    """L-BFGS from a solver; yields one after every round, without end."""
    times, weights = start.times, start.weights
    origin, scales = times[0].log(), _scales(sets, times, weights)
    gaps = (times[:-2].log() - times[1:-1].log()).log()
    stretch, change = torch.zeros_like(gaps).requires_grad_(), torch.zeros_like(weights).requires_grad_()

    def solver() -> tuple[Tensor, Tensor]:
        inner = (origin - (gaps + STRETCH * stretch).exp().cumsum(0)).exp()
        under = torch.tril(weights, -1) + torch.einsum("ijk,ik->ij", scales, change)
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

    optimizer = torch.optim.LBFGS([stretch, change], lr=1.0, max_iter=ROUND, history_size=100, line_search_fn="strong_wolfe")
    while True:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        yield LinearSolver(*(part.detach() for part in solver()))


def _scales(sets: Sequence[Trajectories], times: Tensor, weights: Tensor) -> Tensor:
    """Coordinates in which the loss is round, (calls, calls, calls): a unit change of row i moves its state by the solver's own error.

    Estimates of neighbouring calls are nearly equal, so the bare coefficients are far from independent. With G the Gram matrix of
    rest (D_j - D_i), j < i, and G = L L^T, the columns of L^-T are independent.
    """
    process, calls = sets[0].denoiser.process, len(weights)
    rest = process.alpha(times[1:]) - process.alpha(times[0]) * process.sigma(times[1:]) / process.sigma(times[0])
    grams, error = torch.zeros(calls, calls, calls, dtype=torch.float64), 0.0
    with torch.no_grad():
        for part in sets:
            end, seen = part.solve(times, weights)
            flat = torch.stack(seen).flatten(1).double()
            for i in range(1, calls):
                d = rest[i] * (flat[:i] - flat[i])
                grams[i, :i, :i] += d @ d.T / (d.shape[1] * len(sets))
            error += float((end - part.end).square().mean()) / len(sets)
    scales = torch.zeros_like(grams)
    for i in range(1, calls):
        gram = grams[i, :i, :i]
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(i, dtype=torch.float64)
        scales[i, :i, :i] = error**0.5 * torch.linalg.inv(torch.linalg.cholesky(gram + ridge)).T
    return scales
