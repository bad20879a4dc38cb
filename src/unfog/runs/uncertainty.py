"""``unfog calibrate-uncertainty``: a factor on the standard deviation, for each task, so that its
90 % interval covers 90 %.

It lies in the run's folder, ``uncertainty/denoise.json``, with the SHA-256 of the weights it was
learned on; ``unfog restore`` applies it, and where there is none that of the run's card.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfog.core.random import generators
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.evaluation.conformal import LEVEL, conformal_scale, student_scale
from unfog.evaluation.images import coverage
from unfog.files.output import write_json
from unfog.physics.linear import Operator
from unfog.physics.noise import add_gaussian
from unfog.progress import Report
from unfog.runs.data_consistency import measured_where
from unfog.runs.restore import GRID, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

FOLDER = "uncertainty"


def interval_scale(run: Run, task: str) -> float:
    """The factor learned for a task, that on the run's card, or 1."""
    path = run.path / FOLDER / f"{task}.json"
    if not path.is_file():
        return float(run.card.get("interval_scale", {}).get(task, 1.0))
    record = json.loads(path.read_text())
    if record["weights_sha256"] != run.weights_sha256:
        raise InputError(
            f"{FOLDER}/{path.name} was learned on other weights than those of {run.name}; "
            "calibrate again with --overwrite."
        )
    return float(record["scale"])


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
    overwrite: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Degrade evenly spaced held-out images, restore them, and keep the conformal factor of the
    error on the standard deviation.

    ``noise`` is the standard deviation added, in the units of what ``operator`` measures of the
    data. A factor holds for degradations like the one it was learned on.
    """
    path = run.path / FOLDER / f"{task}.json"
    if path.exists() and not overwrite:
        raise InputError(
            f"{run.name} has a factor for {task} already; give --overwrite to learn it again."
        )
    dataset, begun = open_dataset(data), time.perf_counter()
    if dataset.shape[0] != run.shape[0] or len(dataset.shape) != len(run.shape):
        raise InputError(
            f"{run.name} works on images of {run.shape} and {data} holds {dataset.shape}; give "
            "data like those it was trained on."
        )
    if not 2 <= images <= len(dataset):
        raise InputError(
            f"A calibration takes 2 to {len(dataset)} images of this data, got {images}."
        )
    truth = dataset.batch(np.linspace(0, len(dataset) - 1, images).round().astype(int))["x"]
    noisy = add_gaussian(operator(truth), noise, generators(seed, range(images), "calibrate"))
    y = torch.where(measured_where(operator, truth.shape), noisy, 0.0)
    plan = Plan.of(run, sampler, steps, GRID)
    restored = restore(
        run, y, operator, noise, samples=samples, plan=plan, seed=seed, report=report
    )
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
        "data": str(data),
        "images": images,
        "samples": samples,
        "noise": noise,
        "seed": seed,
        **plan.names,
    }
    path.parent.mkdir(exist_ok=True)
    record = {**summary, "weights_sha256": run.weights_sha256}
    write_json(path, record, overwrite=overwrite)
    return {"factor": str(path), **summary, "seconds": round(time.perf_counter() - begun, 1)}
