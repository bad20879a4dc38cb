"""Calibrated solvers of a run: ``unfog calibrate`` learns them, ``--sampler calibrated`` and
``--sampler auto`` use them.

They lie in the run's folder, ``solvers/calls-0008.json``: times, coefficients, what they started
from and the SHA-256 of the weights they were learned on, without which they are refused; the data's
mean, where a solver takes it for its first call, in ``solvers/calls-0008.safetensors``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.files.output import write_bytes, write_json
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.sampling.calibration.calibrate import calibrate, fine
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.grids import grids

COEFFICIENTS = ("times", "weights", "shares")
# trajectories are held in so many sets; from so many calls on high order pays
FOLDER, SETS, LONG = ("solvers", 4, 20)


class Conditioned(Denoiser):
    """A denoiser with one condition for all of its batch."""

    def __init__(self, denoiser: Denoiser, condition: dict[str, int]) -> None:
        super().__init__()
        self.denoiser, self.process, self.condition = denoiser, denoiser.process, condition

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        given = {name: torch.full((len(x_t),), value) for name, value in self.condition.items()}
        posterior: Posterior = self.denoiser(x_t, t, **given, **condition)
        return posterior


def solver_path(run: Run, calls: int) -> Path:
    """Where the solver of so many calls lies."""
    return run.path / FOLDER / f"calls-{calls:04d}.json"


def calibrate_run(
    run: Run,
    calls: int,
    *,
    trajectories: int = 64,
    iterations: int = 24,
    seed: int = 0,
    overwrite: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Learn the solver of ``calls`` network calls from the run's own trajectories, and save it with
    the run.

    A run with classes is calibrated on some of them. Cost: about ``trajectories`` x
    (60 + (40 + 7 ``iterations``) ``calls``) network calls.
    """
    path = solver_path(run, calls)
    if path.exists() and not overwrite:
        raise InputError(
            f"{run.name} has a solver of {calls} calls already; give --overwrite to learn it again."
        )
    if trajectories < 2 * SETS:
        raise InputError(
            f"A calibration needs at least {2 * SETS} trajectories, got {trajectories}."
        )
    section, begun = run.config["sampling"], time.perf_counter()
    first = grids.build(section["grid"])(run.denoiser.process, 2)[0]
    noise = normal((trajectories, *run.shape), generators(seed, range(trajectories))).chunk(SETS)
    tell, sets = report or (lambda done, total: None), []
    for k, part in enumerate(noise):
        sets.append(fine(_conditioned(run, k), part, first))
        tell(k + 1, SETS + iterations)
    found = calibrate(
        sets,
        first,
        calls,
        iterations=iterations,
        report=lambda done, total: tell(SETS + done, SETS + total),
    )
    errors = {
        f"{what}_{when}": math.exp(float(log) / 2)
        for when, stand in (("before", found.before), ("after", found.after))
        for what, log in zip(("error", "middle_error"), stand, strict=True)
    }
    summary = {
        "calls": calls,
        "started_from": {"sampler": found.sampler, "grid": found.grid},
        **errors,
        "trajectories": trajectories,
        "iterations": iterations,
        "seed": seed,
    }
    save_solver(run, found.solver, summary, overwrite)
    return {"solver": str(path), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def save_solver(
    run: Run, solver: LinearSolver, summary: Mapping[str, Any], overwrite: bool
) -> None:
    """Keep a solver with its run; the mean first, so that a record never lacks it."""
    path = solver_path(run, solver.calls)
    path.parent.mkdir(exist_ok=True)
    if solver.mean is not None:
        tensors = {"mean": solver.mean.float().contiguous()}
        write_bytes(
            path.with_suffix(".safetensors"), safetensors.torch.save(tensors), overwrite=True
        )
    known = {**summary, "weights_sha256": run.weights_sha256, "mean": solver.mean is not None}
    record = {**known, **{name: getattr(solver, name).tolist() for name in COEFFICIENTS}}
    write_json(path, record, overwrite=overwrite)


def _conditioned(run: Run, index: int) -> Denoiser:
    """The run's denoiser under the index-th of some evenly spread classes, if it has classes."""
    parts = (run.config.get("conditions") or {}).items()
    classes = {
        name: part["count"] * index // SETS for name, part in parts if part["name"] == "class"
    }
    return Conditioned(run.denoiser, classes) if classes else run.denoiser


def load_solver(run: Run, calls: int) -> LinearSolver:
    """The run's calibrated solver of so many calls."""
    path = solver_path(run, calls)
    if not path.is_file():
        have = ", ".join(str(number) for number in solver_calls(run)) or "none"
        raise InputError(
            f"{run.name} has no calibrated solver of {calls} calls (it has: {have}); make one "
            "with unfog calibrate."
        )
    record = json.loads(path.read_text())
    if record["weights_sha256"] != run.weights_sha256:
        raise InputError(
            f"{path.name} was calibrated on other weights than those of {run.name}; calibrate "
            "again with --overwrite."
        )
    if not {*COEFFICIENTS, "mean"} <= record.keys():
        raise InputError(
            f"{path.name} was made by an earlier version of unfog; calibrate again with "
            "--overwrite."
        )
    times, weights, shares = (
        torch.tensor(record[name], dtype=torch.float64) for name in COEFFICIENTS
    )
    return LinearSolver(
        times, weights, shares, _mean(path.with_suffix(".safetensors")) if record["mean"] else None
    )


def _mean(path: Path) -> Tensor:
    """The data's mean that a solver takes for its first call."""
    if not path.is_file():
        raise InputError(
            f"{path.name}, which the solver needs, is missing; calibrate again with --overwrite."
        )
    return safetensors.torch.load(path.read_bytes())["mean"]


def solver_calls(run: Run) -> list[int]:
    """The numbers of calls for which the run has a calibrated solver."""
    return sorted(
        int(path.stem.removeprefix("calls-")) for path in (run.path / FOLDER).glob("calls-*.json")
    )


def automatic(run: Run, calls: int, own_times: bool = True) -> str | dict[str, Any]:
    """The sampler of ``auto``: the calibrated one where there is one and no grid is asked for, else
    high order for many calls and DPM-Solver++(2M) for few.
    """
    if own_times and calls in solver_calls(run):
        return "calibrated"
    return {"name": "adams", "order": 3} if calls >= LONG else "dpmpp-2m"
