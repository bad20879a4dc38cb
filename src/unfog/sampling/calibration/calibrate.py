r"""Calibrated solvers: times and coefficients of a linear multistep solver, learned from the
model's own fine trajectories, in the spirit of Watson et al. 2022 and S4S (Frankel et al. 2025).

The family is ``sampling.calibration.solver``: times t_1 .. t_{N-1}, a lower-triangular B and the
shares s, which holds every linear multistep solver with a free corrector, and those that save their
first call by the data's mean. The search (``calibrate``) starts at the best classical solver and,
on each grid, at the one fitted by least squares (``sampling.calibration.fitting``), goes on by
gradients (``sampling.calibration.descent``), and returns a solver never worse than the best
classical one on the validation trajectories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.progress import Report
from unfog.sampling.calibration.descent import ROUND, descend
from unfog.sampling.calibration.fitting import fit
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers

FINE_STEPS = 60
GRIDS = 4  # best grids, on which solvers that know the data's mean are fitted too
FITTED = 5  # best fitted solvers, which are fitted again to all sets
STARTS = 3  # solvers in the race
# Geometric means of a log-SNR grid and the uniform one: its sigma_min, and its share of the logs
BETWEEN = tuple((low, share) for low in (0.01, 0.03) for share in (1 / 3, 2 / 3))
POWERS = (1.2, 1.4)  # exponents of the uniform grid's times

Named = Any  # the name of a registry entry, or its config
CLASSICAL: tuple[Named, ...] = (
    "ddim",
    "dpmpp-2m",
    "dpmpp-3m",
    "deis",
    "unipc",
    *({"name": "adams", "order": order} for order in (2, 3, 4)),
)


def fine(denoiser: Denoiser, noise: Tensor, first: Tensor, steps: int = FINE_STEPS) -> Trajectories:
    """Reference trajectories of the probability-flow ODE, in many steps.

    Args:
        denoiser: the model.
        noise: standard normal, (n, channels, *space).
        first: the time they start at, a scalar.
        steps: number of steps.

    Returns:
        The trajectories.
    """
    return Trajectories.fine(denoiser, noise, classical_grids(denoiser, first, steps)[0][1])


def classical_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """The usual grids, each beginning at ``first`` and ending at 0: Karras and log-SNR ones where
    ``first`` has signal, and the uniform one.

    Args:
        denoiser: the model, for its process.
        first: first time, a scalar.
        steps: number of steps.

    Returns:
        (configuration of the grid, its times (steps + 1,)), the uniform one last.
    """
    process = denoiser.process
    level = float(process.noise_level(first))
    pairs: list[tuple[Named, Tensor]] = []
    if level < float("inf"):
        names = [{"name": "karras", "rho": 7.0, "sigma_min": low} for low in (0.002, 0.01, 0.03)]
        names += [{"name": "log-snr", "sigma_min": low} for low in (0.002, 0.01, 0.03, 0.06)]
        pairs = [
            (name, grids.build({**name, "sigma_max": level})(process, steps)) for name in names
        ]
    pairs.append(
        ("uniform", grids.build({"name": "uniform", "start": float(first)})(process, steps))
    )
    starts = [(name, torch.cat([first[None], times[1:]])) for name, times in pairs]
    return [(name, times) for name, times in starts if bool((times[1:] < times[:-1]).all())]


def _starting_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """The grids a search begins on, as ``classical_grids`` gives them: these, and some between
    those that favour little noise and the uniform one, which favours much.
    """
    *others, (name, uniform) = classical_grids(denoiser, first, steps)
    between: list[tuple[Named, Tensor]] = []
    for low, share in BETWEEN:
        for other, times in others:
            if other["name"] == "log-snr" and other["sigma_min"] == low and name == "uniform":
                inner = torch.exp(share * times[1:-1].log() + (1 - share) * uniform[1:-1].log())
                label = {"name": "between", "grids": [other, name], "share": round(share, 3)}
                between.append((label, torch.cat([times[:1], inner, times[-1:]])))
    powers = [
        ({"name": "power", "of": name, "exponent": power}, first * (uniform / first) ** power)
        for power in POWERS
    ]
    return [*others, (name, uniform), *between, *powers]


@dataclass(frozen=True)
class _Start:
    """A solver to start from, and its standing (2,) as ``Trajectories.standing`` gives it."""

    standing: Tensor
    sampler: Named
    grid: Named
    solver: LinearSolver


@dataclass(frozen=True)
class CalibratedSolver:
    """A solver, what it began as, and how far it came.

    Args:
        solver: the solver.
        sampler: name or configuration of the sampler it began as.
        grid: that of the grid it began on.
        before: standing of the best classical solver on the validation trajectories, (2,).
        after: its own standing there, (2,).
    """

    solver: LinearSolver
    sampler: Named
    grid: Named
    before: Tensor
    after: Tensor


def calibrate(
    sets: Sequence[Trajectories],
    first: Tensor,
    calls: int,
    *,
    iterations: int = 60,
    report: Report | None = None,
) -> CalibratedSolver:
    """The best solver of ``calls`` network calls for these trajectories, of one model or of
    several alike.

    The loss is about the mean and the middle of the errors (``Trajectories.standing``), each beside
    the best classical solver's,

        log sum_k (error_k^2 / best classical error_k^2),     k = mean, middle,

    so the worse of the two has the say. Starts are compared on the first set. The best classical
    solver and the best of the fitted ones race for the first quarter of the iterations, and the one
    ahead goes on alone. Cost: about 130 network calls for each trajectory of the first set and
    call, 10 for each other, and then 1 network call and 1 backward pass an iteration, trajectory
    and call.

    Args:
        sets: trajectories from ``fine``, a set for each model.
        first: the time they start at, a scalar.
        calls: network calls of the solver, 1 or more.
        iterations: of L-BFGS.
        report: called with every round of iterations.

    Returns:
        The solver that stands best on the validation trajectories, never worse than the best
        classical one.

    Raises:
        InputError: for no calls, or fewer than 2 trajectories in a set.
    """
    if calls < 1:
        raise InputError(f"A calibrated solver needs at least one step, got {calls}.")
    training, validation = zip(*(part.split() for part in sets), strict=True)
    # Fitted and classical starts, the best of each first.
    fitted, classical = _starts(training, first, calls)
    best, rounds = torch.stack([start.standing for start in classical]).amin(0), iterations // ROUND
    classical.sort(key=lambda start: _score(start.standing, best))
    fitted.sort(key=lambda start: float(start.standing[1]))
    before = _stand(validation, classical[0].solver)
    best_solver = CalibratedSolver(
        classical[0].solver, classical[0].sampler, classical[0].grid, before, before
    )
    if not rounds:
        return best_solver
    # Descent from the best few.
    starts = [classical[0], *_refitted(training, fitted[:FITTED])[: STARTS - 1]]
    return _race(
        training,
        validation,
        starts,
        best,
        best_solver,
        rounds,
        report or (lambda done, total: None),
    )


def _race(
    training: Sequence[Trajectories],
    validation: Sequence[Trajectories],
    starts: Sequence[_Start],
    best: Tensor,
    best_solver: CalibratedSolver,
    rounds: int,
    report: Report,
) -> CalibratedSolver:
    """Descends from all starts for a quarter of the rounds, then from the one ahead. Returns what
    stood best on the validation trajectories, or ``best_solver`` where nothing was better.
    """
    trial = max(1, rounds // 4)
    total, rounds_done = len(starts) * (trial + 1) + rounds - trial, 0
    race = [(start, descend(training, start.solver, best)) for start in starts]
    for length in (trial + 1, rounds - trial):
        finish = []
        for start, descent in race:
            solver = start.solver
            for solver in islice(descent, length):
                standing, rounds_done = _stand(validation, solver), rounds_done + 1
                if _score(standing, best) < _score(best_solver.after, best):
                    best_solver = CalibratedSolver(
                        solver, start.sampler, start.grid, best_solver.before, standing
                    )
                report(rounds_done, total)
            finish.append(_score(_stand((*training, *validation), solver), best))
        race = [race[min(range(len(race)), key=finish.__getitem__)]]
    return best_solver


def _score(now: Tensor, best: Tensor) -> float:
    """The loss: log sum_k (error_k^2 / best classical error_k^2), from logs of both."""
    return float(torch.logsumexp(now - best, 0))


def _stand(sets: Sequence[Trajectories], solver: LinearSolver) -> Tensor:
    """Standing of the solver (2,), mean over the sets; infinite where its times are out of order
    or its errors are not finite.
    """
    if bool((solver.times[1:] < solver.times[:-1]).all()):
        with torch.no_grad():
            standing = torch.stack([part.standing(solver) for part in sets]).mean(0)
        if bool(standing.isfinite().all()):
            return standing
    return torch.full((2,), math.inf, dtype=torch.float64)


def _starts(
    sets: Sequence[Trajectories], first: Tensor, calls: int
) -> tuple[list[_Start], list[_Start]]:
    """All starts on every grid: those fitted by least squares, and the classical solvers."""
    process, part, mean = (
        sets[0].denoiser.process,
        sets[:1],
        torch.cat([trajectories.end for trajectories in sets]).mean(0),
    )

    def start(sampler: Named, grid: Named, solver: LinearSolver) -> _Start:
        return _Start(_stand(part, solver), sampler, grid, solver)

    # Least squares on every grid, and from the mean on the best ones.
    plain = _starting_grids(sets[0].denoiser, first, calls)
    fitted = [start("least-squares", grid, fit(part, times)) for grid, times in plain]
    order = sorted(range(len(plain)), key=lambda index: float(fitted[index].standing[1]))
    ahead = [plain[index] for index in order[:GRIDS]]
    with_mean = [
        pair
        for pair in _starting_grids(sets[0].denoiser, first, calls + 1)
        if pair[0] in [grid for grid, _ in ahead]
    ]
    fitted += [
        start("least-squares from the mean", grid, fit(part, times, mean))
        for grid, times in with_mean
    ]
    # The classical solvers on every grid; with many calls the best grids are not the fitted ones'.
    pairs = [(name, grid, times) for grid, times in plain for name in CLASSICAL]
    classical = [
        start(name, grid, LinearSolver.of(samplers.build(name), process, times))
        for name, grid, times in pairs
    ]
    return fitted, classical


def _refitted(sets: Sequence[Trajectories], fitted: Sequence[_Start]) -> list[_Start]:
    """These solvers fitted again, to all sets, the best first by the middle of the errors: the
    mean of so few trajectories is a matter of those that part.
    """
    solvers = [fit(sets, start.solver.times, start.solver.mean) for start in fitted]
    starts = [
        replace(start, solver=solver, standing=_stand(sets, solver))
        for start, solver in zip(fitted, solvers, strict=True)
    ]
    return sorted(starts, key=lambda start: float(start.standing[1]))
