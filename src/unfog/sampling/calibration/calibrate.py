r"""Calibrated solvers: times and coefficients of a linear multistep solver, learned from the
model's own fine trajectories.

The family is ``sampling.calibration.solver``: times t_1 .. t_{N-1}, a lower-triangular B and the
shares s, which holds every linear multistep solver with a free corrector, and those that save their
first call by the data's mean. The search starts at the best classical one and, on each grid, at the
one fitted by least squares (``sampling.calibration.fitting``), and what it returns is never worse
than the best classical one on the trajectories kept back. The loss is about the mean and the middle
of the errors (``Trajectories.standing``), each beside the best classical solver's own,

    log sum_k (error_k^2 / best classical error_k^2),     k = mean, middle,

so the worse of the two has the say. It is minimised through the network by L-BFGS over the gaps of
log t, the shares and the coefficients under the diagonal (the diagonal makes each row sum to 1), in
directions that are independent. In the spirit of Watson et al. 2022 and S4S (Frankel et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.progress import Report
from unfog.sampling.calibration.fitting import directions, fit, root
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers

FINE_STEPS = 60
# grids gone into; solvers fitted to all trajectories; solvers in the race
GRIDS, FITTED, STARTS = (4, 5, 3)
ROUND = 4  # iterations between two looks at the trajectories kept back
STRETCH = 0.3  # the unit of log-gaps
# Of a log-SNR grid and the uniform one
BETWEEN = tuple((low, share) for low in (0.01, 0.03) for share in (1 / 3, 2 / 3))
POWERS = (1.2, 1.4)  # of the uniform one's times

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
    """Trajectories from the time ``first``, in many steps."""
    return Trajectories.fine(denoiser, noise, classical_grids(denoiser, first, steps)[0][1])


def classical_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """Grids to start from, each beginning at ``first`` and ending at 0, with their names."""
    process = denoiser.process
    level = float(process.noise_level(first))
    found: list[tuple[Named, Tensor]] = []
    if level < float("inf"):
        names = [{"name": "karras", "rho": 7.0, "sigma_min": low} for low in (0.002, 0.01, 0.03)]
        names += [{"name": "log-snr", "sigma_min": low} for low in (0.002, 0.01, 0.03, 0.06)]
        found = [
            (name, grids.build({**name, "sigma_max": level})(process, steps)) for name in names
        ]
    found.append(
        ("uniform", grids.build({"name": "uniform", "start": float(first)})(process, steps))
    )
    starts = [(name, torch.cat([first[None], times[1:]])) for name, times in found]
    return [(name, times) for name, times in starts if bool((times[1:] < times[:-1]).all())]


def starting_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """The classical ones, and some between those that favour little noise and the uniform one,
    which favours much.
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
class Start:
    """A solver to start from, what it is, and how it stands."""

    standing: Tensor
    sampler: Named
    grid: Named
    solver: LinearSolver


@dataclass(frozen=True)
class CalibratedSolver:
    """A solver, what it began as, and how the best classical one and it stand on the trajectories
    kept back.
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
    """The best solver of ``calls`` network calls for these trajectories, of one model or of several
    alike.

    ``first`` is the time they start at. Starts are compared on the first set. The best classical
    one and the best of the fitted ones race for the first quarter of the iterations, and the one
    ahead goes on alone. Cost: about 130 network calls for each trajectory of the first set and
    call, 10 for each other, and then 1 network call and 1 backward pass an iteration, trajectory
    and call.
    """
    if calls < 1:
        raise InputError(f"A calibrated solver needs at least one step, got {calls}.")
    training, validation = zip(*(part.split() for part in sets), strict=True)
    fitted, classical = _starts(training, first, calls)
    best, rounds = torch.stack([one.standing for one in classical]).amin(0), iterations // ROUND
    classical.sort(key=lambda one: _score(one.standing, best))
    fitted.sort(key=lambda one: float(one.standing[1]))
    before = _stand(validation, classical[0].solver)
    chosen = CalibratedSolver(
        classical[0].solver, classical[0].sampler, classical[0].grid, before, before
    )
    if not rounds:
        return chosen
    starts = [classical[0], *_refitted(training, fitted[:FITTED])[: STARTS - 1]]
    return _race(
        training, validation, starts, best, chosen, rounds, report or (lambda done, total: None)
    )


def _race(
    training: Sequence[Trajectories],
    validation: Sequence[Trajectories],
    starts: Sequence[Start],
    best: Tensor,
    chosen: CalibratedSolver,
    rounds: int,
    report: Report,
) -> CalibratedSolver:
    """Descends from all starts for a quarter of the rounds, then from the one ahead; what stood
    best on those kept back, or ``chosen``.
    """
    trial = max(1, rounds // 4)
    total, done = len(starts) * (trial + 1) + rounds - trial, 0
    race = [(start, _descend(training, start.solver, best)) for start in starts]
    for length in (trial + 1, rounds - trial):
        finish = []
        for start, descent in race:
            solver = start.solver
            for solver in islice(descent, length):
                now, done = _stand(validation, solver), done + 1
                if _score(now, best) < _score(chosen.after, best):
                    chosen = CalibratedSolver(solver, start.sampler, start.grid, chosen.before, now)
                report(done, total)
            finish.append(_score(_stand((*training, *validation), solver), best))
        race = [race[min(range(len(race)), key=finish.__getitem__)]]
    return chosen


def _score(now: Tensor, best: Tensor) -> float:
    return float(torch.logsumexp(now - best, 0))


def _stand(sets: Sequence[Trajectories], solver: LinearSolver) -> Tensor:
    """How the solver stands, (2,); infinitely badly where its times are out of order."""
    if bool((solver.times[1:] < solver.times[:-1]).all()):
        with torch.no_grad():
            found = torch.stack([part.standing(solver) for part in sets]).mean(0)
        if bool(found.isfinite().all()):
            return found
    return torch.full((2,), math.inf, dtype=torch.float64)


def _starts(
    sets: Sequence[Trajectories], first: Tensor, calls: int
) -> tuple[list[Start], list[Start]]:
    """Solvers by least squares and the classical ones on every grid, and on the best grids those
    that know the data's mean.
    """
    process, part, mean = (
        sets[0].denoiser.process,
        sets[:1],
        torch.cat([one.end for one in sets]).mean(0),
    )

    def start(sampler: Named, grid: Named, solver: LinearSolver) -> Start:
        return Start(_stand(part, solver), sampler, grid, solver)

    plain = starting_grids(sets[0].denoiser, first, calls)
    fitted = [start("least-squares", grid, fit(part, times)) for grid, times in plain]
    order = sorted(range(len(plain)), key=lambda index: float(fitted[index].standing[1]))
    ahead = [plain[index] for index in order[:GRIDS]]
    knowing = [
        pair
        for pair in starting_grids(sets[0].denoiser, first, calls + 1)
        if pair[0] in [grid for grid, _ in ahead]
    ]
    fitted += [
        start("least-squares from the mean", grid, fit(part, times, mean))
        for grid, times in knowing
    ]
    # with many calls these have other grids than the fitted
    pairs = [(name, grid, times) for grid, times in plain for name in CLASSICAL]
    classical = [
        start(name, grid, LinearSolver.of(samplers.build(name), process, times))
        for name, grid, times in pairs
    ]
    return fitted, classical


def _refitted(sets: Sequence[Trajectories], found: Sequence[Start]) -> list[Start]:
    """These solvers fitted to all sets, the best first by the middle: the mean of so few is a
    matter of those that part.
    """
    solvers = [fit(sets, one.solver.times, one.solver.mean) for one in found]
    starts = [
        replace(one, solver=solver, standing=_stand(sets, solver))
        for one, solver in zip(found, solvers, strict=True)
    ]
    return sorted(starts, key=lambda one: float(one.standing[1]))


def _descend(
    sets: Sequence[Trajectories], start: LinearSolver, best: Tensor
) -> Iterator[LinearSolver]:
    """L-BFGS from a solver; yields it, and one after every round, without end."""
    process, times, mean = sets[0].denoiser.process, start.times, start.mean
    origin, scales = times[0].log(), _scales(sets, start)
    gaps = (times[:-2].log() - times[1:-1].log()).log()
    extra = start.shares - process.sigma(times[1:]) / process.sigma(times[0])
    stretch, change = (
        torch.zeros_like(gaps).requires_grad_(),
        torch.zeros_like(start.weights).requires_grad_(),
    )

    def solver() -> LinearSolver:
        inner = (origin - (gaps + STRETCH * stretch).exp().cumsum(0)).exp()
        now = torch.cat([times[:1], inner, times[-1:]])
        moved = torch.einsum("ijk,ik->ij", scales, change)
        under = torch.tril(start.weights, -1) + torch.nn.functional.pad(moved[:, 1:], (0, 1))
        shares = process.sigma(now[1:]) / process.sigma(now[0]) + extra + moved[:, 0]
        return LinearSolver(now, under + torch.diag(1 - under.sum(1)), shares, mean)

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for part in sets:  # one graph at a time: memory is that of one set
            with torch.enable_grad():
                value = torch.logsumexp(part.standing(solver()) - best, 0) / len(sets)
                value.backward()  # type: ignore[no-untyped-call]
            total += float(value.detach())
        return total

    optimizer = torch.optim.LBFGS(
        [stretch, change], lr=1.0, max_iter=ROUND, history_size=100, line_search_fn="strong_wolfe"
    )
    yield start
    while True:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        now = solver()
        yield LinearSolver(now.times.detach(), now.weights.detach(), now.shares.detach(), mean)


def _scales(sets: Sequence[Trajectories], solver: LinearSolver) -> Tensor:
    """Coordinates in which the loss is round, (steps, steps, steps): a unit change of a step moves
    its state by the solver's own error.

    Estimates of neighbouring calls are nearly equal, so the bare coefficients are far from
    independent.
    """
    process, steps = sets[0].denoiser.process, len(solver.weights)
    rest = process.alpha(solver.times[1:]) - process.alpha(solver.times[0]) * solver.shares
    grams, error = [torch.zeros(i + 1, i + 1, dtype=torch.float64) for i in range(steps)], 0.0
    with torch.no_grad():
        for part in sets:
            end, seen = part.solve(solver)
            for i in range(steps):
                u = directions(process, solver.times[0], part.start, seen[: i + 1])
                grams[i] += u @ u.mT / (u.shape[1] * len(sets))
            error += float((end - part.end).square().mean()) / len(sets)
    scales = torch.zeros(steps, steps, steps, dtype=torch.float64)
    for i in range(steps):
        scales[i, : i + 1, : i + 1] = error**0.5 * root(grams[i])
        scales[i, 1:] /= rest[i]  # from the state to coefficients
    return scales
