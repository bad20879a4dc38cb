"""The solvers that a calibration starts from: classical ones and least-squares fits, on several
grids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.sampling.calibration.fitting import fit
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers

GRIDS = 4  # the best grids, on which solvers are also fitted with the data's mean
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


def classical_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """The grids of the literature: Karras', even in log-SNR, and uniform.

    Args:
        denoiser: The model, for its process.
        first: The first time of all, a float64 scalar.
        steps: Their steps.

    Returns:
        Names (or configs) and times (steps + 1,), falling from ``first`` to 0; the uniform grid is
        the last. Where the noise at ``first`` is infinite it is the only one.
    """
    process = denoiser.process
    level = float(process.noise_level(first))
    candidates: list[tuple[Named, Tensor]] = []
    # Karras' and log-SNR grids, with several values of their least noise.
    if level < float("inf"):
        names = [{"name": "karras", "rho": 7.0, "sigma_min": low} for low in (0.002, 0.01, 0.03)]
        names += [{"name": "log-snr", "sigma_min": low} for low in (0.002, 0.01, 0.03, 0.06)]
        candidates = [
            (name, grids.build({**name, "sigma_max": level})(process, steps)) for name in names
        ]
    candidates.append(
        ("uniform", grids.build({"name": "uniform", "start": float(first)})(process, steps))
    )
    # All begin exactly at ``first``; those that no longer fall are left out.
    named = [(name, torch.cat([first[None], times[1:]])) for name, times in candidates]
    return [(name, times) for name, times in named if bool((times[1:] < times[:-1]).all())]


def starting_grids(denoiser: Denoiser, first: Tensor, steps: int) -> list[tuple[Named, Tensor]]:
    """The grids to start from: the classical ones, and some between those with most steps at little
    noise and the uniform one, with most at much noise.

    Args:
        denoiser: The model, for its process.
        first: The first time of all, a float64 scalar.
        steps: Their steps.

    Returns:
        Names (or configs) and times (steps + 1,), falling from ``first`` to 0.
    """
    *others, (name, uniform) = classical_grids(denoiser, first, steps)
    # Geometric means of a log-SNR grid and the uniform one, time by time.
    between: list[tuple[Named, Tensor]] = []
    for low, share in BETWEEN:
        for other, times in others:
            if other["name"] == "log-snr" and other["sigma_min"] == low and name == "uniform":
                inner = torch.exp(share * times[1:-1].log() + (1 - share) * uniform[1:-1].log())
                label = {"name": "between", "grids": [other, name], "share": round(share, 3)}
                between.append((label, torch.cat([times[:1], inner, times[-1:]])))
    # Powers of the uniform grid's times.
    powers = [
        ({"name": "power", "of": name, "exponent": power}, first * (uniform / first) ** power)
        for power in POWERS
    ]
    return [*others, (name, uniform), *between, *powers]


@dataclass(frozen=True)
class Start:
    """A solver to start from, with its ``standing`` (logs (2,) of squared errors), and the sampler
    and grid it was made of, as names or configs.
    """

    standing: Tensor
    sampler: Named
    grid: Named
    solver: LinearSolver


def stand(sets: Sequence[Trajectories], solver: LinearSolver) -> Tensor:
    """The logs (2,) of a solver's squared errors (``Trajectories.standing``), mean over the sets;
    infinite where its times are out of order or its errors not finite.
    """
    if bool((solver.times[1:] < solver.times[:-1]).all()):
        with torch.no_grad():
            standing = torch.stack([part.standing(solver) for part in sets]).mean(0)
        if bool(standing.isfinite().all()):
            return standing
    return torch.full((2,), math.inf, dtype=torch.float64)


def starts(
    sets: Sequence[Trajectories], first: Tensor, calls: int
) -> tuple[list[Start], list[Start]]:
    """All solvers to start from, with their standing on the first set.

    Args:
        sets: The training trajectories.
        first: The time they start at, a float64 scalar.
        calls: The network calls of each solver.

    Returns:
        The solvers fitted by least squares, on every grid, and on the best grids once more with
        the data's mean in place of a first call; and the classical solvers on every grid.
    """
    process, part, mean = (
        sets[0].denoiser.process,
        sets[:1],
        torch.cat([one.end for one in sets]).mean(0),
    )

    def start(sampler: Named, grid: Named, solver: LinearSolver) -> Start:
        return Start(stand(part, solver), sampler, grid, solver)

    # Least squares on every grid of as many steps as calls.
    plain = starting_grids(sets[0].denoiser, first, calls)
    fitted = [start("least-squares", grid, fit(part, times)) for grid, times in plain]
    order = sorted(range(len(plain)), key=lambda index: float(fitted[index].standing[1]))
    # The best grids, by the middle of the errors.
    ahead = [plain[index] for index in order[:GRIDS]]
    # On the best of these grids with one step more: the first, from the mean, costs no call.
    longer = [
        pair
        for pair in starting_grids(sets[0].denoiser, first, calls + 1)
        if pair[0] in [grid for grid, _ in ahead]
    ]
    fitted += [
        start("least-squares from the mean", grid, fit(part, times, mean)) for grid, times in longer
    ]
    # Every classical solver on every grid.
    pairs = [(name, grid, times) for grid, times in plain for name in CLASSICAL]
    classical = [
        start(name, grid, LinearSolver.of(samplers.build(name), process, times))
        for name, grid, times in pairs
    ]
    return fitted, classical


def refitted(sets: Sequence[Trajectories], fitted: Sequence[Start]) -> list[Start]:
    """The solvers fitted again, to all sets on the same times, sorted by the middle of their
    errors: the mean of few trajectories depends on the one or two that end in another mode.
    """
    solvers = [fit(sets, one.solver.times, one.solver.mean) for one in fitted]
    refits = [
        replace(one, solver=solver, standing=stand(sets, solver))
        for one, solver in zip(fitted, solvers, strict=True)
    ]
    return sorted(refits, key=lambda one: float(one.standing[1]))
