"""Calibrated solvers: the times and coefficients of a linear multistep solver, learned from the
model's own fine trajectories, in the spirit of Watson et al. 2022 and S4S (Frankel et al. 2025).

``calibrate`` is the search. Its parts: the family of solvers (``solver``), the trajectories and the
error (``trajectories``), the solvers to start from (``starts``, ``fitting``) and the minimisation
(``descent``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.progress import Report
from unfog.sampling.calibration.descent import ROUND, STRETCH, descend
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.starts import (
    BETWEEN,
    CLASSICAL,
    GRIDS,
    POWERS,
    Named,
    Start,
    classical_grids,
    refitted,
    stand,
    starting_grids,
    starts,
)
from unfog.sampling.calibration.trajectories import Trajectories

__all__ = [
    "BETWEEN",
    "CLASSICAL",
    "FINE_STEPS",
    "FITTED",
    "GRIDS",
    "POWERS",
    "ROUND",
    "STARTS",
    "STRETCH",
    "CalibratedSolver",
    "Named",
    "Start",
    "calibrate",
    "classical_grids",
    "fine",
    "starting_grids",
]

FINE_STEPS = 60
FITTED, STARTS = 5, 3  # solvers fitted to all trajectories; solvers in the race


def fine(denoiser: Denoiser, noise: Tensor, first: Tensor, steps: int = FINE_STEPS) -> Trajectories:
    """The model's fine trajectories, to calibrate on.

    Args:
        denoiser: The model.
        noise: Standard normal noise (n, channels, *space), one for each trajectory.
        first: The time they start at, a float64 scalar.
        steps: The steps of each, on the first of the ``classical_grids``.

    Returns:
        The trajectories, with their states on the way.
    """
    return Trajectories.fine(denoiser, noise, classical_grids(denoiser, first, steps)[0][1])


@dataclass(frozen=True)
class CalibratedSolver:
    """A calibrated solver, the sampler and grid it began as, and the logs (2,) of the squared
    errors (``Trajectories.standing``) of the best classical solver (``before``) and of itself
    (``after``) on the validation trajectories.
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
    """The linear solver of ``calls`` network calls that is nearest to these trajectories.

    The family (``LinearSolver``: times t_1 .. t_{N-1}, a lower-triangular B and the shares s) holds
    every linear multistep solver with a free corrector, and those that save their first call by the
    data's mean. The loss is about the mean and the middle of the errors
    (``Trajectories.standing``), each relative to the best classical solver's,

        log sum_k (error_k^2 / best classical error_k^2),     k = mean, middle,

    a smooth maximum of the two. The search starts at the best classical solver and at those fitted
    by least squares; the best of them are minimised in parallel for the first quarter of the
    iterations (``descent.descend``), and the one ahead then goes on alone. A quarter of the
    trajectories is kept back for validation, and on these the result is never worse than the best
    classical solver.

    Cost: about 130 network calls for each trajectory of the first set and call, 10 for each other,
    and then 1 network call and 1 backward pass an iteration, trajectory and call.

    Args:
        sets: Fine trajectories, each set of one model or condition; starts are compared on the
            first.
        first: The time they start at, a float64 scalar.
        calls: The network calls of the solver, at least 1.
        iterations: The iterations of L-BFGS; with less than 4 the best classical solver is
            returned.
        report: Called with (rounds done, rounds in all).

    Returns:
        The solver that was best in validation.

    Raises:
        InputError: ``calls`` is below 1, or a set has less than 2 trajectories.
    """
    if calls < 1:
        raise InputError(f"A calibrated solver needs at least one step, got {calls}.")
    # Classical and fitted solvers, each kind sorted by its error on the first set.
    training, validation = zip(*(part.split() for part in sets), strict=True)
    fitted, classical = starts(training, first, calls)
    best, rounds = torch.stack([one.standing for one in classical]).amin(0), iterations // ROUND
    classical.sort(key=lambda one: _score(one.standing, best))
    fitted.sort(key=lambda one: float(one.standing[1]))
    # The best classical solver is the result unless a descent beats it in validation.
    before = stand(validation, classical[0].solver)
    result = CalibratedSolver(
        classical[0].solver, classical[0].sampler, classical[0].grid, before, before
    )
    if not rounds:
        return result
    # It races with the best fitted ones, fitted again to all sets.
    runners = [classical[0], *refitted(training, fitted[:FITTED])[: STARTS - 1]]
    return _race(
        training, validation, runners, best, result, rounds, report or (lambda done, total: None)
    )


def _race(
    training: Sequence[Trajectories],
    validation: Sequence[Trajectories],
    runners: Sequence[Start],
    best: Tensor,
    result: CalibratedSolver,
    rounds: int,
    report: Report,
) -> CalibratedSolver:
    """Descends from all ``runners`` for a quarter of the rounds, then from the one ahead; the
    solver that was best in validation, or ``result`` where none was better.
    """
    trial = max(1, rounds // 4)
    total, done = len(runners) * (trial + 1) + rounds - trial, 0
    race = [(start, descend(training, start.solver, best)) for start in runners]
    # First the trial of all, each from round 0; then the rest of the rounds of the one ahead.
    for length in (trial + 1, rounds - trial):
        finish = []
        for start, descent in race:
            solver = start.solver
            for solver in islice(descent, length):
                # Keep the solver if it is the best in validation so far.
                now, done = stand(validation, solver), done + 1
                if _score(now, best) < _score(result.after, best):
                    result = CalibratedSolver(solver, start.sampler, start.grid, result.before, now)
                report(done, total)
            finish.append(_score(stand((*training, *validation), solver), best))
        # Ahead is who ended best on all trajectories, those of validation included.
        race = [race[min(range(len(race)), key=finish.__getitem__)]]
    return result


def _score(now: Tensor, best: Tensor) -> float:
    """The loss: log sum_k (error_k^2 / best classical error_k^2), of the logs ``now``."""
    return float(torch.logsumexp(now - best, 0))
