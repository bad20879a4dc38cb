"""``unfog restore``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import (
    AsJson,
    From,
    In,
    KeepNames,
    Loras,
    Out,
    Precision,
    Sampler,
    Seed,
    Steps,
    emit,
    one_of,
    run_and_inputs,
)
from unfog.workflows.tasks import TASKS, Draws, Options, function, task_named

TASK_HELP = "What to undo: " + "; ".join(f"{t.name}, {t.help}" for t in TASKS.values()) + "."


class NoiseModel(StrEnum):
    """How the noise is distributed."""

    gaussian = "gaussian"
    rician = "rician"


def restore(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|auto",
            help="Folder of a trained run, or a shipped prior; auto chooses one for a scan.",
        ),
    ],
    task: Annotated[
        str, typer.Option(parser=one_of(TASKS.keys), metavar="|".join(TASKS), help=TASK_HELP)
    ],
    out: Out,
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Degraded file: .nii, .nii.gz, .png, .npy, a sound or a DICOM series; for hdr the "
            "exposures; for mri k-space, for ct a sinogram.",
            show_default=False,
        ),
    ] = None,
    pipeline: From = None,
    loras: Loras = None,
    noise: Annotated[
        str,
        typer.Option(
            metavar="auto|prior|VALUE",
            help="Standard deviation of the noise, in the input's units; prior finds it with the "
            "prior's help, for denoise.",
        ),
    ] = "auto",
    noise_model: Annotated[
        NoiseModel, typer.Option(help="Rician for magnitude MRI.")
    ] = NoiseModel.gaussian,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For inpaint, lowlight and hdr: not 0 where the input is to be filled in; for "
            "mri: where measured.",
        ),
    ] = None,
    sensitivities: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="For mri: complex maps of the coils, .npy or in the input."
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="For mri: the axes of k-space as stored, such as rows,columns,coils.",
        ),
    ] = None,
    operator: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="For custom, lowlight and hdr: one linear operator, or a list of them.",
        ),
    ] = None,
    factor: Annotated[
        int, typer.Option(min=1, help="For superres and slices: how many times finer.")
    ] = 4,
    slice_width: Annotated[
        float,
        typer.Option(
            min=0, help="For slices: the width of their profile over their distance; 0 for a box."
        ),
    ] = 1.0,
    blur: Annotated[
        float,
        typer.Option(help="For deblur: the standard deviation of the Gaussian blur, in pixels."),
    ] = 1.5,
    method: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME",
            help="mmps, pigdm, tmpd, dps, diffpir, ddnm, ddrm, gdp or reconstruction; auto is "
            "exact for denoise, diffpir for slices and mmps elsewhere.",
        ),
    ] = "auto",
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What it is to show, of the run's conditions: label=3, text='a red heart'; not "
            "for denoise, lowlight and hdr.",
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance towards --to.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Restorations to draw; their spread is the uncertainty.")
    ] = 8,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Restore a degraded file, with an uncertainty map.

    Writes the mean, the standard deviation and the samples in the input's own format (.nii.gz for
    DICOM, .npy for k-space and sinograms), summary.json with a check of the data's consistency, and
    report.html.
    """
    from unfog.files import names
    from unfog.workflows.kinds import is_sound
    from unfog.workflows.sounds import is_sound_file, restore_sound_file

    names.keep_names(keep_names)
    run, source = run_and_inputs(run, pipeline, source or [])
    row = task_named(task)
    of_sound = is_sound(run) and is_sound_file(source)
    if of_sound and mask is None and row.needs == "mask":
        row = replace(row, needs=None)  # rows of zeros are gaps
    row.check(
        source,
        mask=mask,
        operator=operator,
        sensitivities=sensitivities,
        axes=axes,
        sampler=sampler,
        method=None if method == "auto" else method,
        to=to or None,
        noise_model=None if noise_model is NoiseModel.gaussian else noise_model.value,
    )
    options = Options(
        mask, operator, sensitivities, factor, blur, axes=axes, slice_width=slice_width
    )
    draws = Draws(
        noise,
        noise_model.value,
        method,
        samples,
        steps,
        sampler,
        seed,
        precision.value,
        tuple(to or ()),
        guidance,
        tuple(loras or ()),
    )
    workflow = restore_sound_file if of_sound else function(row.workflow)
    emit(workflow(run, source, row, out, options, draws), as_json)
