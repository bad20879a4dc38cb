"""``unfog edit``: edits of a file by SDEdit (``sampling.sdedit``), DDIM inversion
(``sampling.inversion``) or a run that was trained to fill holes (``runs.inpaint``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from unfog.progress import Report
from unfog.runs.edit import draw_edits, edit_plan, invert_and_redraw, stated_conditions
from unfog.runs.guided import guided
from unfog.runs.inpaint import hole_of, inpaint
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range, require_pixels, require_posterior_mean
from unfog.runs.sample import Plan


@dataclass(frozen=True)
class _Asked:
    """What is edited and how: the input x (n, channels, *space) in the run's units, the plan, what
    it shows and is to show, where it may change ((1 or n, 1 or channels, *space) bool, None for
    everywhere), and the numbers of ``edit_file``.
    """

    run: Run
    x: Tensor
    plan: Plan
    strength: float
    shown: Mapping[str, Tensor]
    condition: Mapping[str, Tensor]
    guidance: float | None
    edited: Tensor | None
    samples: int
    iterations: int
    seed: int
    report: Report

    @property
    def editor(self) -> Any:
        """The run's denoiser, under guidance where it is asked for."""
        return self.run.denoiser if self.guidance is None else guided(self.run, self.guidance)

    def decoded(self, edits: Tensor) -> Tensor:
        """Edits (n, edits, channels, *space) on the model's scale in the run's units."""
        pixels = self.run.codec.decode(edits.flatten(0, 1))
        return pixels.reshape(*edits.shape[:2], *pixels.shape[1:])


def _by_sdedit(asked: _Asked) -> Tensor:
    keep = None if asked.edited is None else Mask(~asked.edited)
    edits = draw_edits(
        asked.editor,
        asked.run.codec.encode(asked.x),
        asked.plan,
        strength=asked.strength,
        condition=asked.condition,
        keep=keep,
        samples=asked.samples,
        seed=asked.seed,
        report=asked.report,
    )
    return asked.decoded(edits)


def _by_inversion(asked: _Asked) -> Tensor:
    require_posterior_mean(asked.run)
    edits = invert_and_redraw(
        asked.run.denoiser,
        asked.editor,
        asked.run.codec.encode(asked.x),
        asked.plan,
        strength=asked.strength,
        shown=asked.shown,
        condition=asked.condition,
        iterations=asked.iterations,
        report=asked.report,
    )
    return asked.decoded(edits)


def _by_inpainting(asked: _Asked) -> Tensor:
    assert asked.edited is not None  # ``_check`` asks for a mask
    space = asked.x.shape[2:]
    return inpaint(
        asked.run,
        asked.x,
        asked.edited.any(1, keepdim=True).expand(len(asked.x), 1, *space),
        asked.plan,
        samples=asked.samples,
        seed=asked.seed,
        condition=asked.condition,
        guidance=asked.guidance,
        report=asked.report,
    )


# Edits (n, edits, channels, *space) in the run's units, by the name of the method.
_METHODS: Mapping[str, Callable[[_Asked], Tensor]] = {
    "sdedit": _by_sdedit,
    "inversion": _by_inversion,
    "inpaint": _by_inpainting,
}


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
        method: "sdedit", "inversion" or "inpaint".
        out: The new folder.
        strength: The share of the steps that are gone back, from 0 to 1; inpainting draws from
            noise alone.
        before: What the file shows, each "name=value" of the run's conditions; for inversion.
        after: What it is to show, likewise.
        guidance: Scale of classifier-free guidance towards that.
        mask: A file that is 0 where the input stays; for SDEdit and inpainting.
        samples: How many edits SDEdit and inpainting draw.
        iterations: Calls a step of inversion on its way up.
        sampler: A sampler by name, not for inversion; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Edit k of image i depends on (seed, i, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.
    """
    with job(out) as work:
        _check(method, before, after, guidance, mask, sampler)
        run = open_run(source, precision)
        if method == "inpaint":
            hole_of(run)  # refused before anything is read
        scan = read_scan(path, len(run.shape) - 1, run.shape[0])
        offset, scale = scan.units(*data_range(run))
        values = torch.from_numpy(scan.values)
        plan = edit_plan(run, "ddim" if method == "inversion" else sampler, steps, strength)
        edited = None if mask is None else _edited(run, method, mask, scan)
        asked = _Asked(
            run,
            (values - offset) / scale,
            plan,
            strength,
            stated_conditions(run, before),
            stated_conditions(run, after),
            guidance,
            edited,
            samples,
            iterations,
            seed,
            work.progress("editing"),
        )
        edits = _METHODS[method](asked) * scale + offset
        if edited is not None:  # what stays is the file's own, to the last digit
            edits = torch.where(edited[:, None], edits, values[:, None])
        files = _write(work.folder, scan, edits)
        options = {"iterations": iterations, "from": list(before)}
        summary = {
            "run": run.name,
            "input": path.name,
            "method": method,
            **({} if method == "inpaint" else {"strength": strength}),
            "to": list(after),
            "guidance": guidance,
            **(options if method == "inversion" else {"seed": seed}),
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
    mask: Path | None,
    sampler: str | None,
) -> None:
    """``InputError`` for an option that means nothing to the method."""
    if guidance is not None and not after:
        raise InputError("Guidance needs something to guide towards; give --to too.")
    if method != "inversion" and before:
        raise InputError(
            f"What the input shows is not asked for {method}; leave --from out, or take --method "
            "inversion."
        )
    if method == "inversion" and (mask is not None or sampler is not None):
        raise InputError(
            "An inversion edits the whole input, by DDIM; leave --mask and --sampler out, or take "
            "--method sdedit."
        )
    if method == "inpaint" and mask is None:
        raise InputError("To inpaint, give --mask: a file that is 0 where the input stays.")


def _edited(run: Run, method: str, mask: Path, scan: Scan) -> Tensor:
    """Where the input may change, of a file that is 0 where it stays: (1 or n, 1 or channels,
    *space) bool.
    """
    if method == "sdedit":
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
    return torch.from_numpy(edited)
