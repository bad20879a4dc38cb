r"""Low light and HDR from files: y_i = f_i A x + m_i with f_i and m_i unknown, by GDP.

Where A is the identity, the exposure is the likeliest under the prior (``posterior.exposure``),
found before sampling on the picture that saturates least; the others are fitted to the scene as
that one shows it. In joint tasks and tiles, and where even that picture is clipped, all are
estimated while sampling (``posterior.gdp``), from a guess.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.files.scans import read_scan
from unfog.physics.linear import Operator
from unfog.physics.operators import Identity, Points
from unfog.progress import progress_line
from unfog.runs.low_light import _shots, low_light
from unfog.runs.run import Run, require_posterior_mean
from unfog.workflows.operator_file import read_operator


def low_light_files(
    source: str | Path,
    paths: Sequence[Path],
    out: Path,
    *,
    mask: Path | None = None,
    operator_file: Path | None = None,
    samples: int = 8,
    steps: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Restore one dark file, or several exposures of a scene, into the new folder ``out``, in the
    format of the first.

    ``mask`` is not 0 in holes that are filled as well; ``operator_file`` holds what else was done
    to the scene before it was exposed.
    """
    check_new(out)
    run = Run.open(source)
    require_posterior_mean(run)
    scans = [
        read_scan(path, len(run.shape) - 1, run.shape[0] if operator_file is None else None)
        for path in paths
    ]
    shapes = [scan.values.shape for scan in scans]
    if len(set(shapes)) > 1:
        raise InputError(f"The exposures must be of one size, got {', '.join(map(str, shapes))}.")
    stacks, begun = [torch.from_numpy(scan.values) for scan in scans], time.perf_counter()
    for path, stack in zip(paths, stacks, strict=True):
        if not bool((stack.flatten(1).std(1) > 0).all()):
            raise InputError(
                f"{path.name} holds an image of one value, from which no exposure can be estimated."
            )
    operator = _before_exposure(run, stacks[0], mask, operator_file)
    if isinstance(operator, Points):
        stacks = [operator(stack) for stack in stacks]
    low, high = (float(run.codec.decode(torch.tensor(end))) for end in (-1.0, 1.0))
    offset, scale = scans[0].units(low, high)
    with new_folder(out) as folder:
        found = low_light(
            run,
            stacks,
            operator,
            samples=samples,
            steps=steps,
            seed=seed,
            report=progress_line("restoring"),
        )
        mean, draws = found.mean * scale + offset, found.samples * scale + offset
        results = {
            "mean": mean,
            "std": draws.std(1),
            **{f"sample-{k:02d}": draws[:, k] for k in range(samples)},
        }
        files = [
            scans[0].write(folder, name, value.numpy()).name for name, value in results.items()
        ]
        fitted = [shot.fit(operator(mean), shot.measurement).exposure for shot in _shots(stacks)]
        exposures = [
            {"input": p.name, "factor": e.factor.tolist(), "offset": e.offset.tolist()}
            for p, e in zip(paths, fitted, strict=True)
        ]
        summary = {
            "task": "lowlight" if len(paths) == 1 else "hdr",
            "run": run.name,
            "exposures": exposures,
            "seed": seed,
            "steps": steps or run.config["sampling"]["steps"],
            "mean std": float(results["std"].mean()),
            "files": files,
        }
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _before_exposure(run: Run, stack: Tensor, mask: Path | None, file: Path | None) -> Operator:
    """A of joint tasks: from a mask or a file, or the identity."""
    if mask is not None and file is not None:
        raise InputError("Give --mask or --operator, not both.")
    if file is not None:
        return read_operator(file, stack, run.shape[0])
    if mask is None:
        return Identity()
    hole = torch.from_numpy(read_scan(mask, len(run.shape) - 1, None).values != 0)
    if hole.shape[2:] != stack.shape[2:] or not bool((hole == hole[:1, :1]).all()):
        raise InputError(
            f"{mask.name} must hold one mask on the input's grid, the same for every channel and "
            "slice."
        )
    return Points(~hole[0, 0])
