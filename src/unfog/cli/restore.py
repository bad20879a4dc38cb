"""``unfog restore``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, Run, Sampler, Seed, Steps, emit
from unfog.errors import InputError


class Task(StrEnum):
    """What was done to the input."""

    denoise = "denoise"
    inpaint = "inpaint"
    superres = "superres"
    deblur = "deblur"
    colorize = "colorize"
    lowlight = "lowlight"
    hdr = "hdr"
    mri = "mri"
    ct = "ct"
    custom = "custom"


class NoiseModel(StrEnum):
    """How the noise is distributed."""

    gaussian = "gaussian"
    rician = "rician"


def restore(
    run: Run,
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Degraded file: .nii, .nii.gz, .png, .npy or a DICOM series; for hdr the "
            "exposures; for mri k-space, for ct a sinogram.",
        ),
    ],
    task: Annotated[Task, typer.Option(help="What to undo.")],
    out: Out,
    noise: Annotated[
        str,
        typer.Option(
            metavar="auto|VALUE", help="Standard deviation of the noise, in the input's units."
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
    operator: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="For custom, lowlight and hdr: one linear operator, or a list of them.",
        ),
    ] = None,
    factor: Annotated[int, typer.Option(min=1, help="For superres: how many times finer.")] = 4,
    blur: Annotated[
        float,
        typer.Option(help="For deblur: the standard deviation of the Gaussian blur, in pixels."),
    ] = 1.5,
    method: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME",
            help="mmps, pigdm, tmpd, dps, diffpir, ddnm, ddrm or gdp; auto is exact for denoise "
            "and mmps elsewhere.",
        ),
    ] = "auto",
    samples: Annotated[
        int, typer.Option(min=1, help="Restorations to draw; their spread is the uncertainty.")
    ] = 8,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Restore a degraded file, with an uncertainty map.

    Writes the mean, the standard deviation and the samples in the input's own format (.nii.gz for
    DICOM, .npy for k-space and sinograms), summary.json with a check of the data's consistency, and
    report.html.
    """
    from unfog.workflows.low_light import low_light_files
    from unfog.workflows.restore import restore_file

    methods = {"--sampler": sampler, "--method": None if method == "auto" else method}
    _check(task, source, {**methods, "--sensitivities": sensitivities})
    if task in (Task.lowlight, Task.hdr):
        emit(
            low_light_files(
                run,
                source,
                out,
                mask=mask,
                operator_file=operator,
                samples=samples,
                steps=steps,
                seed=seed,
            ),
            as_json,
        )
        return
    result = restore_file(
        run,
        source[0],
        task.value,
        out,
        noise=noise,
        noise_model=noise_model.value,
        mask=mask,
        operator_file=operator,
        sensitivities=sensitivities,
        factor=factor,
        blur=blur,
        method=method,
        samples=samples,
        steps=steps,
        sampler=sampler,
        seed=seed,
    )
    emit(result, as_json)


def _check(task: Task, source: list[Path], given: dict[str, object]) -> None:
    """``InputError`` for a number of inputs that the task does not take, or an option that means
    nothing to it.
    """
    if (len(source) > 1) != (task is Task.hdr):
        raise InputError(
            "HDR takes two exposures or more."
            if task is Task.hdr
            else f"Give one input for {task.value}; hdr takes several."
        )
    for option, value in given.items() if task in (Task.lowlight, Task.hdr) else ():
        if value is not None:
            raise InputError(
                f"{task.value} brings its own measurement and sampler; leave {option} out."
            )
