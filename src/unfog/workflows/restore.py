"""Sampling and restoration from files to files: what ``unfog sample`` and ``unfog restore`` do."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.physics.linear import Operator
from unfog.progress import progress_line
from unfog.runs.restore import (
    AUTO,
    GRID,
    Restored,
    data_consistency,
    methods,
    noise_models,
    restore,
)
from unfog.runs.run import Run, data_range, require_posterior_mean
from unfog.runs.sample import Plan
from unfog.runs.uncertainty import interval_scale
from unfog.workflows.problem import LEAST_NOISE, Options, measured_scan
from unfog.workflows.raw import measured_raw
from unfog.workflows.restore_report import restoration_page

RAW = ("mri", "ct")  # tasks on raw data of scanners


def restore_file(
    source: str | Path,
    path: Path,
    task: str,
    out: Path,
    *,
    noise: str = "auto",
    noise_model: str = "gaussian",
    mask: Path | None = None,
    operator_file: Path | None = None,
    sensitivities: Path | None = None,
    factor: int = 4,
    blur: float = 1.5,
    method: str = AUTO,
    samples: int = 8,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Restore a file into the new folder ``out``: mean, standard deviation and samples,
    summary.json and report.html.

    They are in the file's own format, and .npy for raw data of scanners.
    """
    check_new(out)
    given = require_noise(noise)
    if method != AUTO:
        methods.get(method)
    run = Run.open(source)
    require_posterior_mean(run)
    if task in RAW and noise_model != "gaussian":
        raise InputError(
            "Raw data have Gaussian noise before a magnitude is taken; leave --noise-model out "
            f"for {task}."
        )
    options = Options(mask, operator_file, sensitivities, factor, blur)
    found = (measured_raw if task in RAW else measured_scan)(run, path, task, options)
    low, high = data_range(run)
    sigma = max(
        given / found.unit if given is not None else found.noise(found.y),
        LEAST_NOISE * (high - low),
    )
    y = noise_models[noise_model](run, found.y, found.operator, sigma)
    plan = Plan.of(run, sampler, steps, GRID)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        restored = _restored(run, y, found.operator, sigma, samples, plan, seed, method)
        trust = interval_scale(run, task)
        scaled = {
            "mean": restored.mean,
            **{f"sample-{k:02d}": restored.samples[:, k] for k in range(samples)},
        }
        results = {name: value * found.scale + found.offset for name, value in scaled.items()}
        results["std"] = trust * found.scale * restored.samples.std(1)
        files = {
            name: found.target.write(folder, name, results[name].numpy()).name
            for name in ("mean", "std", *list(scaled)[1:])
        }
        summary = {
            "task": task,
            "run": run.name,
            "input": path.name,
            "noise": sigma * found.unit,
            "noise estimated": given is None,
            "noise model": noise_model,
            "method": method,
            "seed": seed,
            **plan.names,
            "offset": found.offset,
            "scale": found.scale,
            "std scale": trust,
            "mean std": float(results["std"].mean()),
            "data consistency": data_consistency(found.operator, y, restored.samples, sigma),
            "warnings": found.warnings,
            "files": list(files.values()),
        }
        report = restoration_page(summary, found.operator.adjoint(y), restored, trust, (low, high))
        if report is not None:
            report.write(folder / "report.html")
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def require_noise(text: str) -> float | None:
    """The standard deviation given, or None for one to estimate."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The noise is 'auto' or a number above 0, not {text!r}.")
    return value


def _restored(
    run: Run,
    y: Tensor,
    operator: Operator,
    sigma: float,
    samples: int,
    plan: Plan,
    seed: int,
    method: str,
) -> Restored:
    """The restoration of a stack; an empty slice stays empty."""
    filled = y.flatten(1).any(1)
    if not bool(filled.any()):
        raise InputError("The input is empty: every value is zero.")
    done = restore(
        run,
        y[filled],
        operator.of(filled),
        sigma,
        samples=samples,
        plan=plan,
        seed=seed,
        report=progress_line("restoring"),
        method=method,
    )

    def among_all(part: Tensor) -> Tensor:
        whole = torch.zeros(len(y), *part.shape[1:])
        whole[filled] = part
        return whole

    return Restored(*(among_all(part) for part in (done.mean, done.std, done.samples)))
