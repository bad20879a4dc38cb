"""``unfog edit``: edits of a file by SDEdit (``sampling.sdedit``) or DDIM inversion
(``sampling.inversion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import read_scan
from unfog.files.scans import Scan, require_same_grid
from unfog.physics.operators import Mask
from unfog.runs.edit import draw_edits, edit_plan, invert_and_redraw, stated_conditions
from unfog.runs.guided import guided
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range, require_pixels, require_posterior_mean


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
    precision: str = AUTO,
) -> dict[str, Any]:
    """Edit a file into a new folder, in its own format.

    Args:
        source: A run's folder, or the name of a shipped prior.
        path: What to edit.
        method: "sdedit" or "inversion".
        out: The new folder.
        strength: The share of the steps that are gone back, from 0 to 1.
        before: What the file shows, each "name=value" of the run's conditions; for inversion.
        after: What it is to show, likewise.
        guidance: Scale of classifier-free guidance towards that.
        mask: A file that is 0 where the input stays; for SDEdit.
        samples: How many edits SDEdit draws.
        iterations: Calls a step of inversion on its way up.
        sampler: A sampler by name, for SDEdit; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Edit k of image i depends on (seed, i, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.
    """
    with job(out) as work:
        _check(method, before, after, guidance, {"--mask": mask, "--sampler": sampler})
        run = open_run(source, precision)
        scan = read_scan(path, len(run.shape) - 1, run.shape[0])
        # The input on the model's scale.
        offset, scale = scan.units(*data_range(run))
        x = run.codec.encode((torch.from_numpy(scan.values) - offset) / scale)
        shown, condition = (stated_conditions(run, texts) for texts in (before, after))
        editor = run.denoiser if guidance is None else guided(run, guidance)
        plan = edit_plan(run, "ddim" if method == "inversion" else sampler, steps, strength)
        keep = _kept(run, mask, scan)
        if method == "inversion":
            require_posterior_mean(run)
        common: dict[str, Any] = {
            "strength": strength,
            "condition": condition,
            "report": work.progress("editing"),
        }
        # Edits (n, edits, channels, *space) on the model's scale.
        if method == "inversion":
            edits = invert_and_redraw(
                run.denoiser, editor, x, plan, shown=shown, iterations=iterations, **common
            )
            options = {"iterations": iterations, "from": list(before)}
        else:
            edits = draw_edits(editor, x, plan, keep=keep, samples=samples, seed=seed, **common)
            options = {"seed": seed}
        decoded = run.codec.decode(edits.flatten(0, 1))
        decoded = decoded.reshape(*edits.shape[:2], *decoded.shape[1:])
        files = _write(work.folder, scan, decoded * scale + offset)
        summary = {
            "run": run.name,
            "input": path.name,
            "method": method,
            "strength": strength,
            "to": list(after),
            "guidance": guidance,
            **options,
            **plan.names,
            "precision": run.precision,
            "files": files,
        }
        return work.end(summary)


def _write(folder: Path, scan: Scan, edits: Tensor) -> list[str]:
    """Write edits (n, edits, channels, *space) in the input's format; returns the files' names."""
    return [
        scan.write(folder, f"edit-{k:02d}", edits[:, k].numpy()).name for k in range(edits.shape[1])
    ]


def _check(
    method: str,
    before: Sequence[str],
    after: Sequence[str],
    guidance: float | None,
    sdedit_options: Mapping[str, object],
) -> None:
    """``InputError`` for an option that means nothing to the method."""
    if guidance is not None and not after:
        raise InputError("Guidance needs something to guide towards; give --to too.")
    if method == "sdedit" and before:
        raise InputError(
            "SDEdit does not ask what the input shows; leave --from out, or take --method "
            "inversion."
        )
    if method == "inversion" and any(value is not None for value in sdedit_options.values()):
        names = " and ".join(sdedit_options)
        raise InputError(
            f"An inversion edits the whole input, by DDIM; leave {names} out, or take --method "
            "sdedit."
        )


def _kept(run: Run, mask: Path | None, scan: Scan) -> Mask | None:
    """The mask of where the input stays, from a file that is 0 there."""
    if mask is None:
        return None
    require_pixels(
        run,
        "keeping a part of the input",
        "leave --mask out, or fill it in by unfog restore --task inpaint",
    )
    where, x = read_scan(mask, len(run.shape) - 1, None), scan.values
    edited = where.values != 0
    same_size = edited.shape[2:] == x.shape[2:]
    if not same_size or edited.shape[1] not in (1, x.shape[1]) or len(edited) not in (1, len(x)):
        raise InputError(
            f"{mask.name} gives {edited.shape} and the input {x.shape}; make the mask on "
            "the input's grid."
        )
    require_same_grid(mask, where, scan)
    if edited.all() or not edited.any():
        raise InputError(
            f"{mask.name} is {'0 nowhere' if edited.all() else '0 everywhere'}; it is 0 where "
            "the input stays, and there alone."
        )
    return Mask(torch.from_numpy(~edited))
