"""Low light and HDR from files: one dark picture, or several exposures of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import read_scan
from unfog.files.scans import Scan, require_same_grid
from unfog.physics.linear import Operator
from unfog.physics.operators import Identity, Points
from unfog.runs.low_light import low_light, shots_of
from unfog.runs.run import Run, data_range, require_posterior_mean
from unfog.workflows.operator_file import read_operator
from unfog.workflows.tasks import Draws, Options, Task


def low_light_files(
    source: str | Path,
    paths: Sequence[Path],
    task: Task,
    out: Path,
    options: Options,
    draws: Draws,
) -> dict[str, Any]:
    """Restore one dark file, or several exposures of a scene, into a new folder, in the format of
    the first.

    Args:
        source: A run's folder, or the name of a shipped prior.
        paths: The exposures.
        task: lowlight or hdr.
        out: The new folder.
        options: ``mask``, not 0 in holes that are filled as well, or ``operator``, what else was
            done to the scene before it was exposed.
        draws: Samples, steps and seed.

    Returns:
        The summary that is written there too.
    """
    with job(out, *paths, *options.files) as work:
        run = open_run(source, draws.precision, draws.loras)
        require_posterior_mean(run)
        scans = _exposures(run, paths, None if options.operator else run.shape[0])
        stacks = [torch.from_numpy(scan.values) for scan in scans]
        # Stacks become measurements A x of the scene, each exposed in its own way.
        operator = _before_exposure(run, scans[0], options.mask, options.operator)
        if isinstance(operator, Points):
            stacks = [operator(stack) for stack in stacks]
        offset, scale = scans[0].units(*data_range(run))
        folder = work.folder
        restored = low_light(
            run,
            stacks,
            operator,
            samples=draws.samples,
            steps=draws.steps,
            seed=draws.seed,
            report=work.progress("restoring"),
        )
        # On the scale of the first file.
        mean, samples = (x * scale + offset for x in (restored.mean, restored.samples))
        results = {
            "mean": mean,
            "std": samples.std(1),
            **{f"sample-{k:02d}": samples[:, k] for k in range(draws.samples)},
        }
        files = [scans[0].write(folder, name, x.numpy()).name for name, x in results.items()]
        summary = {
            "task": task.name,
            "run": run.name,
            "exposures": _fitted(paths, stacks, operator(mean)),
            "seed": draws.seed,
            "precision": run.precision,
            "steps": draws.steps or run.config["sampling"]["steps"],
            "mean std": float(results["std"].mean()),
            "files": files,
        }
        return work.end(summary)


def _exposures(run: Run, paths: Sequence[Path], channels: int | None) -> list[Scan]:
    """The files read; ``InputError`` where sizes differ, or an image is of one value."""
    scans = [read_scan(path, len(run.shape) - 1, channels) for path in paths]
    shapes = [scan.values.shape for scan in scans]
    if len(set(shapes)) > 1:
        raise InputError(f"The exposures must be of one size, got {', '.join(map(str, shapes))}.")
    for path, scan in zip(paths, scans, strict=True):
        require_same_grid(path, scan, scans[0])
        if not bool((torch.from_numpy(scan.values).flatten(1).std(1) > 0).all()):
            raise InputError(
                f"{path.name} holds an image of one value, from which no exposure can be estimated."
            )
    return scans


def _fitted(paths: Sequence[Path], stacks: Sequence[Tensor], scene: Tensor) -> list[dict[str, Any]]:
    """The exposure of each file that the restored scene shows, for the summary."""
    exposures = [shot.fit(scene, shot.measurement).exposure for shot in shots_of(stacks)]
    return [
        {"input": path.name, "factor": fit.factor.tolist(), "offset": fit.offset.tolist()}
        for path, fit in zip(paths, exposures, strict=True)
    ]


def _before_exposure(run: Run, scan: Scan, mask: Path | None, file: Path | None) -> Operator:
    """The operator A of what was done to the scene before it was exposed: from a mask or a file,
    or the identity.
    """
    if mask is not None and file is not None:
        raise InputError("Give --mask or --operator, not both.")
    if file is not None:
        return read_operator(file, torch.from_numpy(scan.values), run.shape[0])
    if mask is None:
        return Identity()
    where = read_scan(mask, len(run.shape) - 1, None)
    hole = torch.from_numpy(where.values != 0)
    if hole.shape[2:] != scan.values.shape[2:] or not bool((hole == hole[:1, :1]).all()):
        raise InputError(
            f"{mask.name} must hold one mask on the input's grid, the same for every channel and "
            "slice."
        )
    require_same_grid(mask, where, scan)
    return Points(~hole[0, 0])
