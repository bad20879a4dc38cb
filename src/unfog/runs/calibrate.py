"""Calibrated solvers of a run: ``unfog calibrate`` learns them, ``--sampler calibrated`` and
``--sampler auto`` use them.

A solver of 8 calls lies in the run's folder as ``solvers/calls-0008.json``: its times, its
coefficients, the sampler and grid it started from, and the SHA-256 of the weights it was learned
on; it is refused for other weights. Where a solver takes the data's mean for its first call, the
mean lies beside it as ``solvers/calls-0008.safetensors``.
"""

from __future__ import annotations

import hashlib
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
from unfog.files.output import write_bytes
from unfog.files.sealed import read_sealed, write_sealed
from unfog.files.weight_files import read_header
from unfog.progress import Report
from unfog.runs.clip import clipped
from unfog.runs.run import Run
from unfog.sampling.calibration.calibrate import CalibratedSolver, calibrate, fine
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.grids import grids

FOLDER = "solvers"
AGAIN = "calibrate again with --overwrite"
COEFFICIENTS = ("times", "weights", "shares")  # of a ``LinearSolver``
SETS = 4  # sets of trajectories, each of one class where the run has classes
LONG = 20  # calls from which on a sampler of third order is better than one of second


class Conditioned(Denoiser):
    """A denoiser under fixed classes, the same for every sample of a batch.

    Args:
        denoiser: A denoiser that takes the classes as conditions.
        condition: The class of each condition, by name.
    """

    def __init__(self, denoiser: Denoiser, condition: dict[str, int]) -> None:
        super().__init__()
        self.denoiser, self.process, self.condition = denoiser, denoiser.process, condition

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        classes = {name: torch.full((len(x_t),), value) for name, value in self.condition.items()}
        posterior: Posterior = self.denoiser(x_t, t, **classes, **condition)
        return posterior


def solver_path(run: Run, calls: int) -> Path:
    """The file of a run's solver of so many network calls."""
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
    """``unfog calibrate``: learn the solver of ``calls`` network calls that comes nearest to the
    run's own fine trajectories (``sampling.calibration``), and save it with the run.

    A run with classes is calibrated on some of them. Cost: about ``trajectories`` x
    (60 + (40 + 7 ``iterations``) ``calls``) network calls.

    Args:
        run: The model.
        calls: Network calls of the solver.
        trajectories: Fine trajectories to learn from.
        iterations: Iterations of the minimisation.
        seed: The seed of the trajectories' noise.
        overwrite: Whether to replace a solver of as many calls.
        report: Told (steps done, steps in all).

    Returns:
        The solver's file, its errors before and after, the settings and the seconds it took.

    Raises:
        InputError: The run has such a solver already, or there are too few trajectories.
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
    begun = time.perf_counter()
    report_step = report or (lambda done, total: None)
    # Fine trajectories, one set for each class.
    first = grids.build(run.config["sampling"]["grid"])(run.denoiser.process, 2)[0]
    noise = normal((trajectories, *run.latent_shape), generators(seed, range(trajectories)))
    sets = []
    for k, part in enumerate(noise.chunk(SETS)):
        sets.append(fine(_conditioned(run, k), part, first))
        report_step(k + 1, SETS + iterations)
    # The solver nearest to them.
    result = calibrate(
        sets,
        first,
        calls,
        iterations=iterations,
        report=lambda done, total: report_step(SETS + done, SETS + total),
    )
    summary = {
        "calls": calls,
        "started_from": {"sampler": result.sampler, "grid": result.grid},
        **_errors(result),
        "trajectories": trajectories,
        "iterations": iterations,
        "seed": seed,
    }
    save_solver(run, result.solver, summary, overwrite)
    return {"solver": str(path), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _errors(result: CalibratedSolver) -> dict[str, float]:
    """The errors of the best classical solver ("before") and of the calibrated one ("after"), of
    which ``result`` holds the logs of the squares.
    """
    return {
        f"{what}_{when}": math.exp(float(log) / 2)
        for when, logs in (("before", result.before), ("after", result.after))
        for what, log in zip(("error", "middle_error"), logs, strict=True)
    }


def save_solver(
    run: Run, solver: LinearSolver, summary: Mapping[str, Any], overwrite: bool
) -> None:
    """Write a solver into its run's folder.

    Args:
        run: The run it was learned on.
        solver: The solver.
        summary: Figures and settings to keep with it.
        overwrite: Whether to replace a solver of as many calls.
    """
    path = solver_path(run, solver.calls)
    path.parent.mkdir(exist_ok=True)
    # The mean first, so that a record never lacks it.
    content = None
    if solver.mean is not None:
        tensors = {"mean": solver.mean.float().contiguous()}
        content = safetensors.torch.save(tensors)
        write_bytes(path.with_suffix(".safetensors"), content, overwrite=True)
    coefficients = {name: getattr(solver, name).tolist() for name in COEFFICIENTS}
    record = {
        **summary,
        "weights_sha256": run.weights_sha256,
        "mean": solver.mean is not None,
        "mean_sha256": content and hashlib.sha256(content).hexdigest(),
        **coefficients,
    }
    write_sealed(path, record, overwrite=overwrite)


def _conditioned(run: Run, index: int) -> Denoiser:
    """The run's denoiser under the index-th of ``SETS`` evenly spread classes, if it has
    classes.
    """
    parts = (run.config.get("conditions") or {}).items()
    classes = {name: part["count"] * index // SETS for name, part in parts if "count" in part}
    denoiser = clipped(run.denoiser, run.config["sampling"].get("clip"))  # as samples are drawn
    return Conditioned(denoiser, classes) if classes else denoiser


def load_solver(run: Run, calls: int) -> LinearSolver:
    """The run's calibrated solver of so many calls; ``InputError`` where there is none, or none
    for the run's weights.
    """
    path = solver_path(run, calls)
    if not path.is_file():
        others = ", ".join(str(number) for number in solver_calls(run)) or "none"
        raise InputError(
            f"{run.name} has no calibrated solver of {calls} calls (it has: {others}); make one "
            "with unfog calibrate."
        )
    record = read_sealed(path, AGAIN)
    if record.get("weights_sha256") != run.weights_sha256:
        raise InputError(
            f"{path.name} was calibrated on other weights than those of {run.name}; calibrate "
            "again with --overwrite."
        )
    if not {*COEFFICIENTS, "mean"} <= record.keys():
        raise InputError(
            f"{path.name} was made by an earlier version of unfog; calibrate again with "
            "--overwrite."
        )
    times, weights, shares = (_numbers(record[name], path) for name in COEFFICIENTS)
    said = record.get("mean_sha256")
    mean = _mean(path.with_suffix(".safetensors"), said) if record["mean"] else None
    try:
        return LinearSolver(times, weights, shares, mean)
    except (ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"{path.name} is damaged: its shapes differ; {AGAIN}.") from error


def _numbers(values: Any, path: Path) -> Tensor:
    """Coefficients as a tensor; ``InputError`` where they are no finite numbers."""
    try:
        numbers = torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path.name} is damaged: it holds no numbers; {AGAIN}.") from error
    if not bool(numbers.isfinite().all()):
        raise InputError(f"{path.name} holds numbers that are not finite; {AGAIN}.")
    return numbers


def _mean(path: Path, said: str | None) -> Tensor:
    """The data's mean that a solver takes for its first call, held to the SHA-256 that the solver's
    record gives, where it gives one.
    """
    if not path.is_file():
        raise InputError(
            f"{path.name}, which the solver needs, is missing; calibrate again with --overwrite."
        )
    content = path.read_bytes()
    if said is not None and hashlib.sha256(content).hexdigest() != said:
        raise InputError(f"{path.name} is not as it was written (its SHA-256 differs); {AGAIN}.")
    if "mean" not in read_header(path).shapes:
        raise InputError(f"{path.name} holds no mean; {AGAIN}.")
    return safetensors.torch.load(content)["mean"]


def solver_calls(run: Run) -> list[int]:
    """The numbers of calls for which the run has a calibrated solver."""
    return sorted(
        int(path.stem.removeprefix("calls-")) for path in (run.path / FOLDER).glob("calls-*.json")
    )


def automatic(run: Run, calls: int, own_times: bool = True) -> str | dict[str, Any]:
    """The sampler of ``--sampler auto``: the calibrated solver where there is one, else exponential
    Adams of order 3 for ``LONG`` calls or more and DPM-Solver++(2M) for fewer.

    Args:
        run: The model.
        calls: Network calls.
        own_times: Whether the sampler may bring its own times, as a calibrated solver does; False
            where the caller gives a grid.

    Returns:
        The sampler as a registry config.
    """
    if own_times and calls in solver_calls(run):
        return "calibrated"
    return {"name": "adams", "order": 3} if calls >= LONG else "dpmpp-2m"
