"""A file as the measurement of a stack of images: what is restored, by which operator, in which
units, and how it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.scans import NiftiScan, Scan, read_scan
from unfog.physics.linear import Operator
from unfog.physics.noise import estimate_sigma
from unfog.physics.operators import Mask
from unfog.runs.restore import tasks
from unfog.runs.run import Run, data_range
from unfog.workflows.operator_file import read_operator

LEAST_NOISE = 0.005  # of the data's range: a measurement is never taken for exact


@dataclass(frozen=True)
class Options:
    """What a task may be told besides its file."""

    mask: Path | None = None
    operator: Path | None = None
    sensitivities: Path | None = None
    factor: int = 4
    blur: float = 1.5


@dataclass(frozen=True)
class InverseProblem:
    """y = A x + noise (n, channels', *space'), x in the units of the model's data, where x = (value
    - offset) / scale.

    ``target`` writes values; ``noise`` estimates the noise's deviation from y, and ``unit`` is what
    that is in for the user.
    """

    y: Tensor
    operator: Operator
    offset: float
    scale: float
    target: Scan
    noise: Callable[[Tensor], float]
    unit: float
    warnings: list[str] = field(default_factory=list)


def measured_scan(run: Run, path: Path, task: str, options: Options) -> InverseProblem:
    """Images that were degraded, in a format of images: NIfTI, DICOM, PNG or .npy."""
    scan = read_scan(
        path, len(run.shape) - 1, {"colorize": 1, "custom": None}.get(task, run.shape[0])
    )
    operator = _operator(task, run, scan, options)
    offset, scale = scan.units(*data_range(run))
    y = torch.from_numpy(scan.values)
    y = (y - operator(torch.full_like(operator.adjoint(y[:1]), offset))) / scale
    y = operator(y) if isinstance(operator, Mask) else y  # what was not measured is 0
    target = scan.finer(options.factor) if task == "superres" else scan
    return InverseProblem(
        y, operator, offset, scale, target, blind_sigma, scale, _warnings(run, scan)
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


def _operator(task: str, run: Run, scan: Scan, options: Options) -> Operator:
    mask, file = options.mask, options.operator
    if (file is None) == (task == "custom"):
        raise InputError(
            "For a custom task, give --operator."
            if file is None
            else f"An operator is for --task custom, not {task}."
        )
    if options.sensitivities is not None:
        raise InputError(f"Coil sensitivities are for --task mri, not {task}.")
    if file is not None and mask is None:
        return read_operator(file, torch.from_numpy(scan.values), run.shape[0])
    if (mask is None) == (task == "inpaint"):
        raise InputError(
            "To inpaint, give --mask."
            if mask is None
            else f"A mask is for inpainting; leave it out to {task}."
        )
    if mask is None:
        return task_operator(task, run, options.factor, options.blur)
    hole = read_scan(mask, len(run.shape) - 1, run.shape[0]).values
    if hole.shape != scan.values.shape:
        raise InputError(
            f"{mask.name} gives {hole.shape} and the input {scan.values.shape}; make the mask on "
            "the input's grid."
        )
    return Mask(torch.from_numpy(hole == 0))


def blind_sigma(y: Tensor) -> float:
    """The noise of a stack, from the samples that hold anything."""
    filled = y[y.flatten(1).any(1)]
    planes = filled.movedim(2, 1).flatten(0, 1) if y.ndim == 5 else filled
    return float(estimate_sigma(planes).median()) if len(planes) and y.ndim > 3 else 0.0


def _warnings(run: Run, scan: Scan) -> list[str]:
    """What a reader of the result should know."""
    found: list[str] = []
    trained = run.card.get("voxel_mm")
    if isinstance(scan, NiftiScan):
        found += scan.volume.notes
        if trained and any(abs(size / trained - 1) > 0.1 for size in scan.volume.zooms[:2]):
            sizes = " x ".join(f"{size:.2f}" for size in scan.volume.zooms)
            found.append(
                f"The voxels measure {sizes} mm and {run.name} was trained at {trained:g} mm in "
                "the plane: resample, or train your own."
            )
    return found
