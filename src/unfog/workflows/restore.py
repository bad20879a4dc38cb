"""Sampling and restoration from files to files: what ``unfog sample`` and ``unfog restore`` do."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.errors import InputError
from unfog.files.nifti import new_volume, write_nifti
from unfog.files.output import write_bytes, write_image
from unfog.files.scans import write_array
from unfog.physics.linear import Operator
from unfog.runs.restore import AUTO, GRID, Restored, data_consistency, methods, noise_models, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.uncertainty import interval_scale
from unfog.sampling.loop import Report
from unfog.workflows.problem import LEAST_NOISE, Options, data_range, measured_scan
from unfog.workflows.raw import measured_raw
from unfog.workflows.restore_report import restoration_page

RAW = ("mri", "ct")  # tasks on raw data of scanners


def sample_run(
    source: str | Path, count: int, out: Path, *, sampler: str | None = None, steps: int | None = None, grid: str | None = None,
    seed: int = 0, label: int | None = None, guidance: float | None = None, seamless: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Draw ``count`` samples into the new folder ``out``: pictures and a contact sheet, or volumes; always samples.npy."""
    check_new(out)
    run = Run.open(source)
    plan, condition = Plan.of(run, sampler, steps, grid), _classes(run, label, guidance, count)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        told = progress_line("sampling")
        x = draw(run, plan, range(count), seed, condition=condition, guidance=guidance, seamless=seamless, report=told)
        write_array(folder / "samples.npy", x.numpy())
        _write_samples(folder, x, run)
        chosen = {"class": label, "guidance": guidance, "seamless": seamless or None}
        summary = {"run": run.name, "samples": count, "seed": seed, **plan.names, **{k: v for k, v in chosen.items() if v is not None}}
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _classes(run: Run, label: int | None, guidance: float | None, count: int) -> dict[str, Tensor]:
    """The condition for one class, of a run that has one condition of classes."""
    names = [name for name, part in (run.config.get("conditions") or {}).items() if part["name"] == "class"]
    if (label is not None or guidance is not None) and not names:
        raise InputError(f"The run {run.name} was trained without classes; leave --class and --guidance out.")
    if label is None:
        if guidance is not None:
            raise InputError("Guidance needs something to guide towards; give --class too.")
        return {}
    number = run.config["conditions"][names[0]]["count"]
    if not 0 <= label < number:
        raise InputError(f"The run {run.name} has classes 0 to {number - 1}, not {label}.")
    return {names[0]: torch.full((count,), label)}


def _write_samples(folder: Path, x: Tensor, run: Run) -> None:
    if x.ndim == 5 and x.shape[1] == 1:
        size = float(run.config.get("data", {}).get("resolution", 1.0))
        for k, volume in enumerate(x[:, 0].numpy()):
            write_nifti(folder / f"sample-{k:04d}.nii.gz", volume, new_volume(volume, np.diag([size, size, size, 1.0])))
    if x.ndim == 4 and x.shape[1] in (1, 3):
        pictures = _bytes(x, run.codec)
        for k, picture in enumerate(pictures):
            write_image(folder / f"sample-{k:04d}.png", picture)
        write_image(folder / "contact-sheet.png", contact_sheet(pictures))


def _bytes(x: Tensor, codec: Codec) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pictures (n, rows, columns) or (n, rows, columns, 3): the data's range as 0 to 255."""
    scaled = (127.5 * (codec.encode(x) + 1)).clamp(0, 255).round().to(torch.uint8).movedim(1, -1).numpy()
    return scaled[..., 0] if scaled.shape[-1] == 1 else scaled


def contact_sheet(pictures: np.ndarray[Any, Any], gap: int = 2) -> np.ndarray[Any, Any]:
    """Pictures (n, rows, columns[, 3]) side by side, as square as they go, on white."""
    n, rows, columns = pictures.shape[:3]
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full((down * (rows + gap) + gap, across * (columns + gap) + gap, *pictures.shape[3:]), 255, pictures.dtype)
    for k, picture in enumerate(pictures):
        top, left = gap + k // across * (rows + gap), gap + k % across * (columns + gap)
        sheet[top : top + rows, left : left + columns] = picture
    return sheet


def restore_file(
    source: str | Path, path: Path, task: str, out: Path, *, noise: str = "auto", noise_model: str = "gaussian",
    mask: Path | None = None, operator_file: Path | None = None, sensitivities: Path | None = None, factor: int = 4, blur: float = 1.5,
    method: str = AUTO, samples: int = 8, steps: int | None = None, sampler: str | None = None, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Restore a file into the new folder ``out``: mean, standard deviation and samples, summary.json and report.html.

    They are in the file's own format, and .npy for raw data of scanners.
    """
    check_new(out)
    given = require_noise(noise)
    if method != AUTO:
        methods.get(method)
    run = Run.open(source)
    require_posterior_mean(run)
    if task in RAW and noise_model != "gaussian":
        raise InputError(f"Raw data have Gaussian noise before a magnitude is taken; leave --noise-model out for {task}.")
    options = Options(mask, operator_file, sensitivities, factor, blur)
    found = (measured_raw if task in RAW else measured_scan)(run, path, task, options)
    low, high = data_range(run)
    sigma = max(given / found.unit if given is not None else found.noise(found.y), LEAST_NOISE * (high - low))
    y = noise_models[noise_model](run, found.y, found.operator, sigma)
    plan = Plan.of(run, sampler, steps, GRID)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        restored = _restored(run, y, found.operator, sigma, samples, plan, seed, method)
        trust = interval_scale(run, task)
        scaled = {"mean": restored.mean, **{f"sample-{k:02d}": restored.samples[:, k] for k in range(samples)}}
        results = {name: value * found.scale + found.offset for name, value in scaled.items()}
        results["std"] = trust * found.scale * restored.samples.std(1)
        files = {name: found.target.write(folder, name, results[name].numpy()).name for name in ("mean", "std", *list(scaled)[1:])}
        summary = {
            "task": task, "run": run.name, "input": path.name, "noise": sigma * found.unit, "noise estimated": given is None,
            "noise model": noise_model, "method": method, "seed": seed, **plan.names, "offset": found.offset, "scale": found.scale,
            "std scale": trust, "mean std": float(results["std"].mean()),
            "data consistency": data_consistency(found.operator, y, restored.samples, sigma),
            "warnings": found.warnings, "files": list(files.values()),
        }  # fmt: skip
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


def require_posterior_mean(run: Run) -> None:
    """``InputError`` for a run that restores nothing."""
    name = run.config.get("objective", {}).get("name", "")
    if any(jumping in name for jumping in ("consistency", "adversarial")):
        raise InputError(
            f"{run.name} jumps to samples and knows no posterior mean, so it cannot restore or invert; use the run it was distilled from."
        )


def _restored(run: Run, y: Tensor, operator: Operator, sigma: float, samples: int, plan: Plan, seed: int, method: str) -> Restored:
    """The restoration of a stack; an empty slice stays empty."""
    filled = y.flatten(1).any(1)
    if not bool(filled.any()):
        raise InputError("The input is empty: every value is zero.")
    done = restore(
        run, y[filled], operator.of(filled), sigma, samples=samples, plan=plan, seed=seed, report=progress_line("restoring"), method=method
    )

    def among_all(part: Tensor) -> Tensor:
        whole = torch.zeros(len(y), *part.shape[1:])
        whole[filled] = part
        return whole

    return Restored(*(among_all(part) for part in (done.mean, done.std, done.samples)))


def check_new(out: Path) -> None:
    """``InputError`` where ``out`` holds something already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; choose another folder.")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``out`` when all is done, and vanishes when something fails."""
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unfog-") as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rmdir()
        os.rename(folder, out)


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write ``summary.json``."""
    write_bytes(folder / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())


def progress_line(what: str) -> Report:
    """Steps done, on standard error: a line that changes on a terminal, a plain line every ten seconds elsewhere."""
    terminal, told = sys.stderr.isatty(), time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if terminal:
            sys.stderr.write(f"\r{what}: step {done} of {total}" + "\n" * (done == total))
        elif now - told >= 10:
            told = now
            sys.stderr.write(f"{what}: step {done} of {total}\n")

    return tell
