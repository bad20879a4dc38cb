"""Edits from files to files, what ``unfog edit`` does: SDEdit (``sampling.sdedit``) and DDIM
inversion (``sampling.inversion``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.files.scans import read_scan
from unfog.physics.operators import Mask
from unfog.runs.edit import _inverted, _plan, _sdedit, told_conditions
from unfog.runs.run import Run, data_range, require_posterior_mean
from unfog.runs.sample import guided


def edit_file(
    source: str | Path,
    path: Path,
    method: str,
    out: Path,
    *,
    strength: float = 0.5,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    guidance: float | None = None,
    mask: Path | None = None,
    samples: int = 4,
    iterations: int = 5,
    sampler: str | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Edit a file into the new folder ``out``, in its own format: ``samples`` edits by SDEdit, or
    one by inversion.

    ``before`` and ``after`` say what the file shows and what it is to show, each "name=value", of
    the run's conditions.
    """
    check_new(out)
    _check(method, before, after, guidance, {"--mask": mask, "--sampler": sampler})
    run, begun = Run.open(source), time.perf_counter()
    scan = read_scan(path, len(run.shape) - 1, run.shape[0])
    offset, scale = scan.units(*data_range(run))
    x = run.codec.encode((torch.from_numpy(scan.values) - offset) / scale)
    shown, wanted = (told_conditions(run, given) for given in (before, after))
    editor = run.denoiser if guidance is None else guided(run, guidance)
    plan = _plan(run, "ddim" if method == "inversion" else sampler, steps, strength)
    if method == "inversion":
        require_posterior_mean(run)
        drawn = _inverted(run.denoiser, editor, x, plan, shown, wanted, iterations, strength)
    else:
        drawn = _sdedit(editor, x, plan, _kept(run, mask, x), wanted, samples, seed, strength)
    with new_folder(out) as folder:
        results = run.codec.decode(drawn) * scale + offset
        files = [
            scan.write(folder, f"edit-{k:02d}", results[:, k].numpy()).name
            for k in range(results.shape[1])
        ]
        told: dict[str, Any] = (
            {"iterations": iterations, "from": list(before)}
            if method == "inversion"
            else {"seed": seed}
        )
        summary = {
            "run": run.name,
            "input": path.name,
            "method": method,
            "strength": strength,
            "to": list(after),
            "guidance": guidance,
            **told,
            **plan.names,
            "files": files,
        }
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _check(
    method: str,
    before: Sequence[str],
    after: Sequence[str],
    guidance: float | None,
    given: Mapping[str, object],
) -> None:
    """``InputError`` for an option that means nothing to the method."""
    if guidance is not None and not after:
        raise InputError("Guidance needs something to guide towards; give --to too.")
    if method == "sdedit" and before:
        raise InputError(
            "SDEdit does not ask what the input shows; leave --from out, or take --method "
            "inversion."
        )
    if method == "inversion" and any(value is not None for value in given.values()):
        raise InputError(
            f"An inversion edits the whole input, by DDIM; leave {' and '.join(given)} out, or "
            "take --method sdedit."
        )


def _kept(run: Run, mask: Path | None, x: Tensor) -> Mask | None:
    """Where the input stays, from a file that is not 0 where it is edited."""
    if mask is None:
        return None
    edited = read_scan(mask, len(run.shape) - 1, None).values != 0
    if (
        edited.shape[2:] != x.shape[2:]
        or edited.shape[1] not in (1, x.shape[1])
        or len(edited) not in (1, len(x))
    ):
        raise InputError(
            f"{mask.name} gives {edited.shape} and the input {tuple(x.shape)}; make the mask on "
            "the input's grid."
        )
    if edited.all() or not edited.any():
        raise InputError(
            f"{mask.name} is {'0 nowhere' if edited.all() else '0 everywhere'}; it is 0 where "
            "the input stays, and there alone."
        )
    return Mask(torch.from_numpy(~edited))
