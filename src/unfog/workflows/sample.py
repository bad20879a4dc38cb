"""``unfog sample``: a run into a new folder of samples."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.files.nifti import new_volume, write_nifti
from unfog.files.numpy_files import write_array
from unfog.files.output import write_image
from unfog.progress import progress_line
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


def sample_run(
    source: str | Path,
    count: int,
    out: Path,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    label: int | None = None,
    guidance: float | None = None,
    seamless: bool = False,
) -> dict[str, Any]:
    """Draw ``count`` samples into the new folder ``out``: pictures and a contact sheet, or volumes;
    always samples.npy.
    """
    check_new(out)
    run = Run.open(source)
    plan, condition = Plan.of(run, sampler, steps, grid), _classes(run, label, guidance, count)
    begun = time.perf_counter()
    with new_folder(out) as folder:
        told = progress_line("sampling")
        x = draw(
            run,
            plan,
            range(count),
            seed,
            condition=condition,
            guidance=guidance,
            seamless=seamless,
            report=told,
        )
        write_array(folder / "samples.npy", x.numpy())
        _write_samples(folder, x, run)
        chosen = {"class": label, "guidance": guidance, "seamless": seamless or None}
        summary = {
            "run": run.name,
            "samples": count,
            "seed": seed,
            **plan.names,
            **{k: v for k, v in chosen.items() if v is not None},
        }
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _classes(run: Run, label: int | None, guidance: float | None, count: int) -> dict[str, Tensor]:
    """The condition for one class, of a run that has one condition of classes."""
    names = [
        name
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] == "class"
    ]
    if (label is not None or guidance is not None) and not names:
        raise InputError(
            f"The run {run.name} was trained without classes; leave --class and --guidance out."
        )
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
            write_nifti(
                folder / f"sample-{k:04d}.nii.gz",
                volume,
                new_volume(volume, np.diag([size, size, size, 1.0])),
            )
    if x.ndim == 4 and x.shape[1] in (1, 3):
        pictures = _bytes(x, run.codec)
        for k, picture in enumerate(pictures):
            write_image(folder / f"sample-{k:04d}.png", picture)
        write_image(folder / "contact-sheet.png", contact_sheet(pictures))


def _bytes(x: Tensor, codec: Codec) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pictures (n, rows, columns) or (n, rows, columns, 3): the data's range as 0 to 255."""
    scaled = (
        (127.5 * (codec.encode(x) + 1)).clamp(0, 255).round().to(torch.uint8).movedim(1, -1).numpy()
    )
    return scaled[..., 0] if scaled.shape[-1] == 1 else scaled


def contact_sheet(pictures: np.ndarray[Any, Any], gap: int = 2) -> np.ndarray[Any, Any]:
    """Pictures (n, rows, columns[, 3]) side by side, as square as they go, on white."""
    n, rows, columns = pictures.shape[:3]
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full(
        (down * (rows + gap) + gap, across * (columns + gap) + gap, *pictures.shape[3:]),
        255,
        pictures.dtype,
    )
    for k, picture in enumerate(pictures):
        top, left = gap + k // across * (rows + gap), gap + k % across * (columns + gap)
        sheet[top : top + rows, left : left + columns] = picture
    return sheet
