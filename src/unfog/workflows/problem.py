"""Files read as inverse problems y = A x + noise: the readers of the tasks on images, which
``workflows.tasks`` names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.formats import read_scan
from unfog.files.scans import NiftiScan, Scan, require_same_grid
from unfog.physics.air import air_sigma
from unfog.physics.linear import Operator
from unfog.physics.noise import estimate_sigma
from unfog.physics.operators import Mask
from unfog.physics.slices import ThickSlices
from unfog.runs.run import Run, data_range
from unfog.workflows.choose import AIR
from unfog.workflows.degradations import require_volumes
from unfog.workflows.operator_file import read_operator
from unfog.workflows.tasks import Options, Task, function

LEAST_SIDE = 8  # voxels in the plane
LEAST_NOISE = 0.005  # of the data's range: a measurement is never taken for exact


@dataclass(frozen=True)
class InverseProblem:
    """y = A x + noise, x in the units of the model's data: x = (value - offset) / scale.

    Args:
        y: The measurement (n, channels', *space').
        operator: A.
        offset: What 0 of the model's data is in the file's units.
        scale: What 1 of the model's data is in the file's units.
        target: Writes restored values in the format of the file.
        noise: Estimates the standard deviation of the noise from y.
        unit: The factor from that deviation to the units in which the user gives it.
        warnings: What to know about the file, in sentences.
    """

    y: Tensor
    operator: Operator
    offset: float
    scale: float
    target: Scan
    noise: Callable[[Tensor], float]
    unit: float
    warnings: list[str] = field(default_factory=list)


def measured_images(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Images degraded by the task's own operator.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: What that operator needs.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: The file cannot be read, or does not fit the run.
    """
    scan = read_scan(paths[0], len(run.shape) - 1, run.shape[0])
    return _problem(run, scan, _operator(run, task, options))


def measured_coarsely(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Images of coarse voxels, which are restored on a grid ``factor`` times finer.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: ``factor``.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: The file cannot be read, or does not fit the run.
    """
    problem = measured_images(run, paths, task, options)
    return replace(problem, target=problem.target.finer(options.factor))


def measured_in_slices(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Volumes of thick slices, which are restored with ``factor`` planes for each slice. Slices are
    stacked along the axis of the longest voxels, of equal ones the last.

    Args:
        run: The prior, of volumes.
        paths: The one input file.
        task: The task.
        options: ``factor`` and ``slice_width``.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: The file cannot be read, or the run is not of volumes.
    """
    require_volumes(run)
    scan = read_scan(paths[0], 3, run.shape[0])
    sides = scan.voxel or (1.0, 1.0, 1.0)
    axis = max(range(3), key=lambda k: (round(sides[k], 3), k))
    problem = _problem(run, scan, ThickSlices(options.factor, axis, options.slice_width))
    return replace(problem, target=scan.finer(options.factor, axis))


def measured_in_grey(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Grey images of coloured scenes: y is the mean of three channels.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: Of no meaning here.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: The file is not grey, or the run has no three channels.
    """
    operator = _operator(run, task, options)
    return _problem(run, read_scan(paths[0], len(run.shape) - 1, 1), operator)


def measured_by_operator(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Images degraded by the operator in a file.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: ``operator``, the file.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: A file cannot be read, or the operator does not make such images.
    """
    assert options.operator is not None  # the task needs it
    scan = read_scan(paths[0], len(run.shape) - 1, None)
    operator = read_operator(options.operator, torch.from_numpy(scan.values), run.shape[0])
    return _problem(run, scan, operator)


def measured_beside_holes(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """Images with holes.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: ``mask``, a file that is not 0 in the holes; of one channel for all, and of one
            image for all, or of as many as the input.

    Returns:
        The problem, with y on the model's scale.

    Raises:
        InputError: A file cannot be read, or the mask is not on the input's grid.
    """
    assert options.mask is not None  # the task needs it
    dims, channels = len(run.shape) - 1, run.shape[0]
    scan = read_scan(paths[0], dims, channels)
    hole = read_scan(options.mask, dims, None)
    given, expected = hole.values.shape, scan.values.shape
    alike = given[2:] == expected[2:] and given[0] in (1, expected[0])
    if not alike or given[1] not in (1, expected[1]):
        raise InputError(
            f"{options.mask.name} gives {hole.values.shape} and the input {scan.values.shape}; "
            "make the mask on the input's grid."
        )
    require_same_grid(options.mask, hole, scan)
    mask = Mask(torch.from_numpy(hole.values == 0).expand(expected))
    problem = _problem(run, scan, mask)
    return replace(problem, y=mask(problem.y))  # what was not measured is 0


def _operator(run: Run, task: Task, options: Options) -> Operator:
    """The operator that the task's row names."""
    assert task.operator is not None  # or the task has a reader of its own
    operator: Operator = function(task.operator)(run, options)
    return operator


def _problem(run: Run, scan: Scan, operator: Operator) -> InverseProblem:
    """The values of a scan as a measurement, in the units of the model's data."""
    require_kind(run, scan)
    offset, scale = scan.units(*data_range(run))
    # A (scale x + offset) + noise becomes A x + noise.
    y = torch.from_numpy(scan.values)
    constant = torch.full_like(operator.adjoint(y[:1]), offset)
    y = (y - operator(constant)) / scale
    warnings = _warnings(run, scan)
    noise = magnitude_sigma if isinstance(scan, NiftiScan) else blind_sigma
    return InverseProblem(y, operator, offset, scale, scan, noise, scale, warnings)


def require_kind(run: Run, scan: Scan) -> None:
    """``InputError`` for a volume that a prior of simulated magnitudes cannot be right about: a CT,
    or one too small to tell tissue from noise.
    """
    if run.config.get("data", {}).get("name") != "synthetic-heads":
        return
    least = float(scan.values.min())
    if isinstance(scan, NiftiScan) and least < AIR:
        raise InputError(
            f"The values reach down to {least:g}, as those of CT do, and {run.name} was learned "
            "from magnitudes of magnetic resonance; take head-ct."
        )
    if sorted(scan.values.shape[2:])[-2] < LEAST_SIDE:
        raise InputError(
            f"A scan for {run.name} has {LEAST_SIDE} voxels or more in the plane, not "
            f"{' x '.join(map(str, scan.values.shape[2:]))}; take one of a larger field of view."
        )


def told_voxel(run: Run, scan: Scan) -> Run:
    """The run, told the sides of the voxels that it restores where it asks for them and the file
    says so.
    """
    if "voxel" not in run.config.get("conditions", {}) or scan.voxel is None:
        return run
    return run.told(voxel=torch.tensor(scan.voxel).log()[None])


def blind_sigma(y: Tensor) -> float:
    """The noise's standard deviation in a stack (n, channels, *space): the median over its images
    or planes that are not 0; 0 for signals of one dimension.
    """
    planes = _planes(y)
    return float(estimate_sigma(planes).median()) if len(planes) else 0.0


def magnitude_sigma(y: Tensor) -> float:
    """The same of a volume, which may be of magnitudes: from its air, where that has Rayleigh's
    law, else as any image's.
    """
    planes = _planes(y)
    air = air_sigma(planes) if len(planes) else None
    return blind_sigma(y) if air is None else air


def _planes(y: Tensor) -> Tensor:
    """The images or planes of a stack that are not 0, (n, channels, rows, columns); none of signals
    of one dimension.
    """
    filled = y[y.flatten(1).any(1)]
    if y.ndim <= 3:
        return filled[:0]
    return filled.movedim(2, 1).flatten(0, 1) if y.ndim == 5 else filled


def _warnings(run: Run, scan: Scan) -> list[str]:
    """Sentences on the file: what was mended, and voxels unlike those of the training."""
    warnings: list[str] = []
    trained = run.card.get("voxel_mm")
    if isinstance(scan, NiftiScan):
        warnings += scan.volume.notes
        if trained and any(abs(size / trained - 1) > 0.1 for size in scan.volume.zooms[:2]):
            sizes = " x ".join(f"{size:.2f}" for size in scan.volume.zooms)
            warnings.append(
                f"The voxels measure {sizes} mm and {run.name} was trained at {trained:g} mm in "
                "the plane: resample, or train your own."
            )
    return warnings
