"""``unfog calibrate-uncertainty``: a factor on the standard deviation, for each task, so that its
90 % interval covers 90 %.

The factor of the task ``denoise`` lies in the run's folder as ``uncertainty/denoise.json``, with
the SHA-256 of the weights it was learned on. ``unfog restore`` applies it, or where there is none
that on the run's card.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfog.core.random import generators
from unfog.data.dataset import Dataset, datasets, open_dataset
from unfog.errors import InputError
from unfog.evaluation.conformal import LEVEL, conformal_scale, student_scale
from unfog.evaluation.images import coverage
from unfog.files.names import names_kept
from unfog.files.sealed import read_sealed, write_sealed
from unfog.physics.linear import Operator
from unfog.physics.noise import add_gaussian
from unfog.posterior.methods import AUTO
from unfog.progress import Report
from unfog.runs.data_consistency import measured_where
from unfog.runs.restore import GRID, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

FOLDER = "uncertainty"
AGAIN = "calibrate again with --overwrite"


def interval_scale(run: Run, task: str) -> float:
    """The factor on the standard deviation for a task: the one learned, else the one on the run's
    card, else 1; ``InputError`` where it was learned on other weights.
    """
    record = _learned(run, task)
    if record is None:
        scales = run.card.get("interval_scale", {})
        value = scales.get(task, 1.0) if isinstance(scales, Mapping) else None
        return _factor(value, f"The card of {run.name}")
    return _factor(record.get("scale"), f"{FOLDER}/{task}.json")


def interval_scales(run: Run, task: str) -> list[tuple[float, float]] | None:
    """Factors on the standard deviation for a task by a value that is found, as pairs (value,
    factor) with values ascending; None where none were learned. Raises as ``interval_scale``.
    """
    record = _learned(run, task) or {}
    pairs = record.get("by")
    if pairs is None:
        return None
    file = f"{FOLDER}/{task}.json"
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise InputError(f"{file} holds no pairs of numbers under 'by'; {AGAIN}.")
    return [(_factor(value, file), _factor(scale, file)) for value, scale in pairs]


def _factor(value: Any, file: str) -> float:
    """A factor as a number; ``InputError`` where it is none, not finite, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{file} holds the factor {value!r}, which must be 0 or more; {AGAIN}.")
    return float(value)


def _learned(run: Run, task: str) -> dict[str, Any] | None:
    """What was learned for a task; None where nothing was."""
    path = run.path / FOLDER / f"{task}.json"
    if not path.is_file():
        return None
    record = read_sealed(path, AGAIN)
    if record.get("weights_sha256") != run.weights_sha256:
        raise InputError(
            f"{FOLDER}/{path.name} was learned on other weights than those of {run.name}; "
            "calibrate again with --overwrite."
        )
    return record


def calibrate_uncertainty(
    run: Run,
    data: str | Path,
    task: str,
    operator: Operator,
    noise: float,
    *,
    images: int = 16,
    samples: int = 8,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    method: str = AUTO,
    overwrite: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Degrade evenly spaced held-out images, restore them, and save the conformal factor with which
    the 90 % interval of the restorations holds the truth (``evaluation.conformal``).

    A factor holds for degradations like the one it was learned on.

    Args:
        run: The prior.
        data: Images it was not trained on: a data set by name, or a file or folder.
        task: The task's name, under which the factor is saved.
        operator: The degradation A.
        noise: The standard deviation of the noise added, in the units of A x.
        images: How many images, at least 2.
        samples: Draws of each image.
        seed: The seed of noise and draws.
        steps: Sampler steps; the run's own number by default.
        sampler: A sampler by name; the run's own by default.
        method: A posterior method by name, or "auto".
        overwrite: Whether to replace a factor of the same task.
        report: Told (steps done, steps in all).

    Returns:
        The factor's file, the factor, the coverage without and with it, the settings, and the
        seconds it took.

    Raises:
        InputError: There is a factor already, or the data do not fit the run.
    """
    path = run.path / FOLDER / f"{task}.json"
    if path.exists() and not overwrite:
        raise InputError(
            f"{run.name} has a factor for {task} already; give --overwrite to learn it again."
        )
    dataset, begun = _held_out(run, data, images), time.perf_counter()
    # Degraded images; values that a mask leaves out stay 0.
    truth = dataset.batch(np.linspace(0, len(dataset) - 1, images).round().astype(int))["x"]
    noisy = add_gaussian(operator(truth), noise, generators(seed, range(images), "calibrate"))
    y = torch.where(measured_where(operator, truth.shape), noisy, 0.0)
    # Their restorations.
    plan = Plan.of(run, sampler, steps, GRID)
    restored = restore(
        run,
        y,
        operator,
        noise,
        samples=samples,
        plan=plan,
        seed=seed,
        report=report,
        method=method,
    )
    # The conformal factor, and the coverage with Student's factor and with it.
    scale = conformal_scale(truth - restored.mean, restored.std)
    covered = [
        float(coverage(truth, *restored.interval(scale=factor)).mean())
        for factor in (student_scale(samples), scale)
    ]
    summary = {
        "task": task,
        "scale": scale,
        "level": LEVEL,
        "covered before": covered[0],
        "covered after": covered[1],
        "data": str(data) if str(data) in datasets.names() or names_kept() else "input 1",
        "images": images,
        "samples": samples,
        "noise": noise,
        "seed": seed,
        **plan.names,
    }
    path.parent.mkdir(exist_ok=True)
    record = {**summary, "weights_sha256": run.weights_sha256}
    write_sealed(path, record, overwrite=overwrite)
    return {"factor": str(path), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _held_out(run: Run, data: str | Path, images: int) -> Dataset:
    """The data set; ``InputError`` where it does not fit the run or has too few images."""
    dataset = open_dataset(data)
    if dataset.shape[0] != run.shape[0] or len(dataset.shape) != len(run.shape):
        raise InputError(
            f"{run.name} works on images of {run.shape} and {data} holds {dataset.shape}; give "
            "data like those it was trained on."
        )
    if not 2 <= images <= len(dataset):
        raise InputError(
            f"A calibration takes 2 to {len(dataset)} images of this data, got {images}."
        )
    return dataset
