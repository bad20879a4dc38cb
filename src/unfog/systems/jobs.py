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
from unfog.data.nifti import new_volume, write_nifti
from unfog.data.output import write_bytes, write_image
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.physics.noise import estimate_sigma
from unfog.physics.operators import Mask
from unfog.sampling.loop import Report
from unfog.systems.operators import read_operator
from unfog.systems.restore import AUTO, GRID, Restored, methods, noise_models, restore, tasks
from unfog.systems.run import Run
from unfog.systems.sample import Plan, draw
from unfog.systems.scans import NiftiScan, Scan, read_scan, write_array
from unfog.systems.uncertainty import interval_scale

LEAST_NOISE = 0.005  # of the data's range: a measurement is never taken for exact


def sample_run(
    source: str | Path, count: int, out: Path, *, sampler: str | None = None, steps: int | None = None, grid: str | None = None,
    seed: int = 0, label: int | None = None, guidance: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Draw ``count`` samples into the new folder ``out``: pictures and a contact sheet, or volumes; always samples.npy."""
    check_new(out)
    run = Run.open(source)
    plan, condition = Plan.of(run, sampler, steps, grid), _classes(run, label, guidance, count)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        x = draw(run, plan, range(count), seed, condition=condition, guidance=guidance, report=progress_line("sampling"))
        write_array(folder / "samples.npy", x.numpy())
        _write_samples(folder, x, run)
        chosen = {"class": label, "guidance": guidance}
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
    mask: Path | None = None, operator_file: Path | None = None, factor: int = 4, blur: float = 1.5, method: str = AUTO, samples: int = 8,
    steps: int | None = None, sampler: str | None = None, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Restore a file into the new folder ``out``: mean, standard deviation and samples in the file's own format, and summary.json."""
    check_new(out)
    given = require_noise(noise)
    if method != AUTO:
        methods.get(method)
    run = Run.open(source)
    require_posterior_mean(run)
    scan = read_scan(path, len(run.shape) - 1, {"colorize": 1, "custom": None}.get(task, run.shape[0]))
    operator = _operator(task, run, scan, mask, operator_file, factor, blur)
    low, high = (float(run.codec.decode(torch.tensor(end))) for end in (-1.0, 1.0))
    offset, scale = scan.units(low, high)
    y = torch.from_numpy(scan.values)
    y = (y - operator(torch.full_like(operator.adjoint(y[:1]), offset))) / scale
    y = operator(y) if isinstance(operator, Mask) else y  # what was not measured is 0
    sigma = max(given / scale if given is not None else blind_sigma(y), LEAST_NOISE * (high - low))
    y = noise_models[noise_model](run, y, operator, sigma)
    plan = Plan.of(run, sampler, steps, GRID)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        found = _restored(run, y, operator, sigma, samples, plan, seed, method)
        mean, stack = found.mean * scale + offset, found.samples * scale + offset
        target = scan.finer(factor) if task == "superres" else scan
        trust = interval_scale(run, task)
        results = {"mean": mean, "std": trust * stack.std(1), **{f"sample-{k:02d}": stack[:, k] for k in range(samples)}}
        files = {name: target.write(folder, name, value.numpy()).name for name, value in results.items()}
        summary = {
            "task": task, "run": run.name, "input": path.name, "noise": sigma * scale, "noise estimated": given is None,
            "noise model": noise_model, "method": method, "seed": seed, **plan.names, "offset": offset, "scale": scale,
            "std scale": trust, "mean std": float(results["std"].mean()), "warnings": _warnings(run, scan), "files": list(files.values()),
        }  # fmt: skip
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _warnings(run: Run, scan: Scan) -> list[str]:
    """What a reader of the result should know."""
    found: list[str] = []
    trained = run.card.get("voxel_mm")
    if isinstance(scan, NiftiScan):
        found += scan.volume.notes
        if trained and any(abs(size / trained - 1) > 0.1 for size in scan.volume.zooms[:2]):
            sizes = " x ".join(f"{size:.2f}" for size in scan.volume.zooms)
            found.append(
                f"The voxels measure {sizes} mm and {run.name} was trained at {trained:g} mm in the plane: resample, or train your own."
            )
    return found


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
    if "consistency" in run.config.get("objective", {}).get("name", ""):
        raise InputError(
            f"{run.name} jumps to samples and knows no posterior mean, so it cannot restore; use the run it was distilled from."
        )


def task_operator(task: str, run: Run, factor: int, blur: float) -> Operator:
    """The operator of a task that needs no file."""
    if task == "colorize" and run.shape[0] != 3:
        raise InputError(f"Colour needs a run of 3 channels, and {run.name} has {run.shape[0]}.")
    options: dict[str, dict[str, Any]] = {
        "superres": {"factor": factor},
        "deblur": {"deviation": blur, "dimensions": len(run.shape) - 1},
    }
    return tasks.build({"name": task, **options.get(task, {})})


def _operator(task: str, run: Run, scan: Scan, mask: Path | None, file: Path | None, factor: int, blur: float) -> Operator:
    if (file is None) == (task == "custom"):
        raise InputError("For a custom task, give --operator." if file is None else f"An operator is for --task custom, not {task}.")
    if file is not None and mask is None:
        return read_operator(file, torch.from_numpy(scan.values), run.shape[0])
    if (mask is None) == (task == "inpaint"):
        raise InputError("To inpaint, give --mask." if mask is None else f"A mask is for inpainting; leave it out to {task}.")
    if mask is None:
        return task_operator(task, run, factor, blur)
    hole = read_scan(mask, len(run.shape) - 1, run.shape[0]).values
    if hole.shape != scan.values.shape:
        raise InputError(f"{mask.name} gives {hole.shape} and the input {scan.values.shape}; make the mask on the input's grid.")
    return Mask(torch.from_numpy(hole == 0))


def blind_sigma(y: Tensor) -> float:
    """The noise of a stack, from the samples that hold anything."""
    filled = y[y.flatten(1).any(1)]
    planes = filled.movedim(2, 1).flatten(0, 1) if y.ndim == 5 else filled
    return float(estimate_sigma(planes).median()) if len(planes) and y.ndim > 3 else 0.0


def _restored(run: Run, y: Tensor, operator: Operator, sigma: float, samples: int, plan: Plan, seed: int, method: str) -> Restored:
    """The restoration of a stack; an empty slice stays empty."""
    filled = y.flatten(1).any(1)
    kept: Operator = Mask(operator.mask[filled]) if isinstance(operator, Mask) else operator
    if not bool(filled.any()):
        raise InputError("The input is empty: every value is zero.")
    done = restore(run, y[filled], kept, sigma, samples=samples, plan=plan, seed=seed, report=progress_line("restoring"), method=method)

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
