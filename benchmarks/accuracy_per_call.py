"""Accuracy per network call: every deterministic sampler of unfog, diffusers and k-diffusion on
Gaussian mixtures, in one run.

    python benchmarks/accuracy_per_call.py
    # k-diffusion joins in where it can be imported
    python benchmarks/accuracy_per_call.py --figure docs/accuracy-per-call.svg

The denoiser is exact, so the only error is the solver's: the distance of x_0 from the end of the
true trajectory, root mean square over dimensions; of 16,384 trajectories of four mixtures the root
mean square and the median. All solvers run on the first 2048, and those within 1.5 times the least
error, of ours or of the peers', on all: the mean is a matter of the few trajectories that end in
another mode. The calibrated solvers learned their times and coefficients on other mixtures (of as
many modes, dimensions and on the same schedule) and other noise.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from record import write_record
from solver_peers import Solve, diffusers_solvers, k_diffusion_solvers
from torch import Tensor

import unfog
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process, processes
from unfog.core.shapes import mean_per_sample
from unfog.sampling.calibration.calibrate import calibrate, classical_grids, fine
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

MODES, TARGETS, CALLS = (
    6,
    [(d, s) for d in (2, 64) for s in ("ddpm-linear", "ddpm-cosine")],
    (5, 10, 20, 50),
)
TEST_MIXTURES = range(4)
# in few dimensions mixtures differ more from one another
LEARNED_MIXTURES = {2: range(10, 266), 64: range(10, 74)}
LEARNED = {2: 4096, 64: 1024}  # trajectories; in many dimensions each says more
MOST_ITERATIONS = 80
OURS: list[Any] = [
    "ddim",
    "dpmpp-2m",
    "dpmpp-2m-heun",
    "dpmpp-3m",
    "unipc",
    "deis",
    *({"name": "adams", "order": o} for o in (2, 3, 4)),
    "heun",
]
TRUTH_STEPS, FINE_STEPS = 2000, 500
# trajectories that all run on; a solver runs on all within so many times the least error
SCREEN, WITHIN = (2048, 1.5)


class Mixtures(Denoiser):
    """The exact denoisers of several mixtures at once: sample i is of mixture i modulo their
    number. The mean alone, for speed.
    """

    def __init__(self, process: Process, dims: int, seeds: Iterable[int]) -> None:
        super().__init__()
        self.process, self.dims = process, dims
        weights, means, axes, spread = (
            torch.stack(part) for part in zip(*(mixture(dims, seed) for seed in seeds), strict=True)
        )
        self.log_weights, self.means = (weights / weights.sum(1, keepdim=True)).log(), means
        # (mixtures * modes, d, d), (mixtures, modes, d)
        self.axes, self.variances = (axes.flatten(0, 1), spread**2)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        alpha, sigma = self.scales(t)
        return Posterior(
            torch.cat([self._mean(part, alpha, sigma) for part in x_t.split(SCREEN)])
        )  # as much as a cache holds

    def _mean(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        # (n, mixtures, modes, d)
        by_mode = x_t.view(-1, *self.means[:, :1].shape) - alpha * self.means
        projected = self._turn(by_mode, self.axes)
        total = alpha**2 * self.variances + sigma**2
        log_weight = self.log_weights - 0.5 * (projected**2 / total + total.log()).sum(-1)
        means = self.means + self._turn(alpha * self.variances / total * projected, self.axes.mT)
        return (torch.softmax(log_weight, 2)[..., None] * means).sum(2).view_as(x_t)

    def _turn(self, x: Tensor, axes: Tensor) -> Tensor:
        return (x.flatten(1, 2).transpose(0, 1) @ axes).transpose(0, 1).view(x.shape)


def mixture(dims: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, means, axes and deviations of six modes: standard normal means, deviations .05 to .3
    along random axes.
    """
    g = torch.Generator().manual_seed(seed)
    weights = torch.rand(MODES, generator=g, dtype=torch.float64) + 0.3
    means = torch.randn(MODES, dims, generator=g, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(MODES, dims, dims, generator=g, dtype=torch.float64))[0]
    return (
        weights,
        means,
        axes,
        0.05 + 0.25 * torch.rand(MODES, dims, generator=g, dtype=torch.float64),
    )


def noise(n: int, dims: int, seed: int) -> Tensor:
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass
class Counted:
    """A denoiser's calls, counted."""

    calls: int = 0

    def watch(self, inner: Denoiser) -> Denoiser:
        counter = self

        class Watched(Denoiser):
            process = inner.process

            def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
                counter.calls += 1
                posterior: Posterior = inner(x_t, t, **condition)
                return posterior

        return Watched()


def our_solvers() -> Iterator[tuple[str, Solve]]:
    """Every deterministic sampler of ours on every grid that calibration starts from."""
    for name in OURS:
        label = name if isinstance(name, str) else f"{name['name']} {name['order']}"
        for index in range(8):
            yield f"unfog {label} (grid {index})", _ours(name, index)


def _ours(name: Any, index: int) -> Solve:
    def solve(denoiser: Denoiser, x_t: Tensor, calls: int, first: Tensor) -> Tensor:
        steps = (calls + 1) // 2 if name == "heun" else calls
        grids = classical_grids(denoiser, first, steps)
        return sample(
            denoiser,
            x_t / denoiser.process.sigma(first),
            grids[index][1],
            samplers.build(name),
            randomness=torch.Generator(),
        )

    return solve


def calibrated(solver: LinearSolver) -> Solve:
    """A calibrated solver as one of the others."""
    return lambda denoiser, x_t, calls, first: sample(
        denoiser,
        x_t / denoiser.process.sigma(first),
        solver.times,
        solver,
        randomness=torch.Generator(),
    )


def cell(
    solvers: list[tuple[str, Solve]], truth: Trajectories, calls: int, first: Tensor
) -> list[dict[str, Any]]:
    """The errors of every solver, least root mean square first; one that fails or takes more calls
    is out.
    """
    screen = truth.part(slice(SCREEN))
    rows = [judge(name, solve, screen, calls, first) for name, solve in solvers]
    if len(truth.start) > SCREEN:
        again = ahead([row for row in rows if is_ours(row)]) | ahead(
            [row for row in rows if not is_ours(row)]
        )
        rows = [
            judge(row["solver"], dict(solvers)[row["solver"]], truth, calls, first)
            if row["solver"] in again
            else row
            for row in rows
        ]
    return sorted(rows, key=lambda row: row.get("rms", math.inf))


def is_ours(row: dict[str, Any]) -> bool:
    return bool(row["solver"].startswith("unfog"))


def ahead(rows: list[dict[str, Any]]) -> set[str]:
    """The solvers near the least of either error."""
    able = [row for row in rows if "rms" in row]
    least = {key: min((row[key] for row in able), default=0.0) for key in ("rms", "median")}
    return {row["solver"] for row in able if any(row[key] <= WITHIN * least[key] for key in least)}


def judge(
    name: str, solve: Solve, truth: Trajectories, calls: int, first: Tensor
) -> dict[str, Any]:
    """The errors of a solver, or why it has none."""
    counted = Counted()
    try:
        with torch.no_grad():
            x = solve(counted.watch(truth.denoiser), truth.start, calls, first)
        error = mean_per_sample((x - truth.end).square())
        if counted.calls > calls or not bool(error.isfinite().all()):
            raise ValueError(f"{counted.calls} calls")
    except Exception as reason:  # a peer's crash is a result, not ours to mend
        return {"solver": name, "failed": f"{type(reason).__name__}: {reason}"[:120]}
    found = {"rms": float(error.mean().sqrt()), "median": float(error.median().sqrt())}
    return {"solver": name, "calls": counted.calls, **found, "trajectories": len(error)}


def by_solver(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Each solver's least [root mean square, median, trajectories] over the grids it ran longest
    on; what failed on all says why.
    """
    found: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: -row.get("trajectories", 0)):
        name = row["solver"].split(" (")[0] + "".join(
            f" {part}" for part in row["solver"].split("(")[-1].rstrip(")").split(", ")[:-1]
        )
        if "rms" in row:
            best = found.get(name)
            now = [*(float(f"{row[key]:.3g}") for key in ("rms", "median")), row["trajectories"]]
            if not isinstance(best, list) or best[2] == now[2]:
                found[name] = (
                    now
                    if not isinstance(best, list)
                    else [min(a, b) for a, b in zip(now, best, strict=True)]
                )
        else:
            found.setdefault(name, row["failed"])
    return found


def least(rows: list[dict[str, Any]], key: str, ours: bool) -> dict[str, Any]:
    """The solver of ours, or of the peers, of the least error, among those that ran longest."""
    able = [row for row in rows if "rms" in row and is_ours(row) == ours]
    longest = max(row["trajectories"] for row in able)
    return min((row for row in able if row["trajectories"] == longest), key=lambda row: row[key])


def target(dims: int, schedule: str, calls: list[int], n: int, work: int) -> dict[str, Any]:
    """All cells of one target."""
    process, first = processes.build(schedule), torch.ones((), dtype=torch.float64)
    truth = fine(Mixtures(process, dims, TEST_MIXTURES), noise(n, dims, 1), first, TRUTH_STEPS)
    learned = fine(
        Mixtures(process, dims, LEARNED_MIXTURES[dims]),
        noise(LEARNED[dims], dims, 2),
        first,
        FINE_STEPS,
    )
    betas = table(process)
    cells = {}
    for count in calls:
        begun = time.process_time()
        found = calibrate([learned], first, count, iterations=min(MOST_ITERATIONS, work // count))
        seconds = time.process_time() - begun
        solvers = [
            ("unfog calibrated", calibrated(found.solver)),
            *our_solvers(),
            *diffusers_solvers(betas),
            *k_diffusion_solvers(),
        ]
        rows = cell(solvers, truth, count, first)
        best, family = (
            {key: least(rows, key, ours) for key in ("rms", "median")} for ours in (False, True)
        )
        mine = next(row for row in rows if row["solver"] == "unfog calibrated")
        cells[count] = {
            "ours": mine,
            "start": {"sampler": found.sampler, "grid": found.grid},
            "calibration_cpu_seconds": round(seconds, 1),
            "best_peer": best,
            "ratio": {key: mine[key] / best[key][key] for key in best},
            "best_of_ours": family,
            "ratio_of_best": {key: family[key][key] / best[key][key] for key in best},
            "all": by_solver(rows),
        }
        sys.stderr.write(
            f"{dims}-D {schedule} {count}: "
            f"{json.dumps({k: cells[count][k] for k in ('ours', 'best_peer', 'ratio')})}\n"
        )
    return cells


def table(process: Process) -> Tensor:
    """The betas of a tabulated process."""
    alpha_bar = process.alpha(torch.arange(1001, dtype=torch.float64) / 1000) ** 2
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=list(CALLS))
    parser.add_argument(
        "--targets",
        nargs="*",
        default=[f"{d}-{s}" for d, s in TARGETS],
        help="such as 2-ddpm-linear",
    )
    parser.add_argument("--n", type=int, default=8 * SCREEN)
    parser.add_argument(
        "--work",
        type=int,
        default=1500,
        help=f"of a calibration: iterations (at most {MOST_ITERATIONS}) times calls",
    )
    parser.add_argument(
        "--join",
        type=Path,
        nargs="*",
        default=[],
        help="results of other targets, run with the same settings",
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for path in options.join:
        other = json.loads(path.read_text())
        if (other["trajectories"], other.get("work", options.work)) != (options.n, options.work):
            parser.error(f"{path} was run with other settings")
        results |= other["results"]
    for dims, schedule in TARGETS:
        if f"{dims}-{schedule}" in options.targets:
            results[f"{dims}-D {schedule}"] = target(
                dims, schedule, options.calls, options.n, options.work
            )
            write(results, options)
    if options.join:
        write(results, options)


def write(results: dict[str, Any], options: argparse.Namespace) -> None:
    """What is known so far, as one JSON file or on standard output."""
    cells = [cell for target in results.values() for cell in target.values()]
    first_in, best_in = (
        {key: sum(cell[by][key] < 1 for cell in cells) for key in ("rms", "median")}
        for by in ("ratio", "ratio_of_best")
    )
    counts = {"first_in": first_in, "best_of_ours_first_in": best_in, "cells": len(cells)}
    figures = {"trajectories": options.n, "work": options.work, **counts, "results": results}
    write_record(figures, (unfog, torch, diffusers), options.out, **_k_version())


def _k_version() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"k-diffusion": version("k-diffusion")}
    except PackageNotFoundError:
        return {}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
