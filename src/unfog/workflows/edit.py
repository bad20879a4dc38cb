"""``unfog edit``: edits of a file by SDEdit (``sampling.sdedit``), DDIM inversion
(``sampling.inversion``), a run that was trained to fill holes (``runs.inpaint``), the texture of a
swatch (``runs.swatch``), or on the way to another file (``runs.interpolate``).
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
from unfog.files.scans import Scan
from unfog.physics.operators import Mask
from unfog.progress import Report
from unfog.runs.edit import draw_edits, edit_plan, invert_and_redraw, stated_conditions
from unfog.runs.guided import guided
from unfog.runs.inpaint import hole_of, inpaint
from unfog.runs.interpolate import interpolate
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range, require_pixels, require_posterior_mean
from unfog.runs.sample import Plan
from unfog.runs.swatch import transfer
from unfog.workflows.edit_inputs import (
    check_ends,
    check_options,
    second_picture,
    where_edited,
)


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
    other: Tensor | None = None  # the picture at the other end, or the swatch, in natural units

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
    assert asked.edited is not None  # ``check_options`` asks for a mask
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


def _by_swatch(asked: _Asked) -> Tensor:
    require_pixels(asked.run, "a texture's measurement", "take a run of pictures")
    assert asked.edited is not None  # ``check_options`` asks for a mask
    assert asked.other is not None  # and for a swatch
    return transfer(
        asked.run,
        asked.editor,
        asked.x,
        asked.other,
        asked.plan,
        region=asked.edited.any(1, keepdim=True),
        strength=asked.strength,
        condition=asked.condition,
        samples=asked.samples,
        seed=asked.seed,
        report=asked.report,
    )


def _by_interpolation(asked: _Asked) -> Tensor:
    require_posterior_mean(asked.run)
    assert asked.other is not None  # ``check_options`` asks for it
    if asked.x.shape != asked.other.shape or len(asked.x) != 1:
        raise InputError("Give one picture at each end, both of the size that the run draws.")
    between = interpolate(
        asked.editor,
        asked.run.codec.encode(asked.x),
        asked.run.codec.encode(asked.other),
        asked.plan,
        strength=asked.strength,
        condition=asked.condition,
        samples=asked.samples,
        iterations=asked.iterations,
        report=asked.report,
    )
    return asked.decoded(between)


# Edits (n, edits, channels, *space) in the run's units, by the name of the method.
_METHODS: Mapping[str, Callable[[_Asked], Tensor]] = {
    "sdedit": _by_sdedit,
    "inversion": _by_inversion,
    "inpaint": _by_inpainting,
    "texture": _by_swatch,
    "interpolate": _by_interpolation,
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
    other: Path | None = None,
    swatch: Path | None = None,
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
        method: "sdedit", "inversion", "inpaint", "texture" or "interpolate".
        out: The new folder.
        strength: The share of the steps that are gone back, from 0 to 1; inpainting draws from
            noise alone.
        before: What the file shows, each "name=value" of the run's conditions; for inversion.
        after: What it is to show, likewise.
        guidance: Scale of classifier-free guidance towards that.
        mask: A file that is 0 where the input stays; for SDEdit, inpainting and a texture.
        other: The picture at the other end, for interpolation.
        swatch: A picture of the texture, at least as large as those of the run.
        samples: How many edits are drawn, other than by inversion, which makes one.
        iterations: Calls a step of inversion on its way up.
        sampler: A sampler by name, not for inversion; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Edit k of image i depends on (seed, i, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.
    """
    with job(out, path, mask, other, swatch) as work:
        check_options(method, before, after, guidance, mask, sampler)
        check_ends(method, other, swatch)
        run = open_run(source, precision)
        if method == "inpaint":
            hole_of(run)  # refused before anything is read
        scan = read_scan(path, len(run.shape) - 1, run.shape[0])
        offset, scale = scan.units(*data_range(run))
        values = torch.from_numpy(scan.values)
        by_ddim = method in ("inversion", "interpolate")
        plan = edit_plan(run, "ddim" if by_ddim else sampler, steps, strength)
        edited = None if mask is None else where_edited(run, method, mask, scan)
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
            second_picture(run, other or swatch),
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
            **(options if method in ("inversion", "interpolate") else {"seed": seed}),
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
