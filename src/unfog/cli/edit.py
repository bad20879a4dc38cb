"""``unfog edit``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Run, Sampler, Seed, Steps, emit


class Method(StrEnum):
    """How to edit."""

    sdedit = "sdedit"
    inversion = "inversion"


def edit(
    run: Run,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="What to edit: .nii, .nii.gz, .png, .npy or a DICOM series."
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="sdedit draws what is likely given the input with noise; inversion finds its "
            "noise and draws anew."
        ),
    ],
    out: Out,
    strength: Annotated[
        float,
        typer.Option(help="The share of the steps that are gone back: 0 changes nothing, 1 most."),
    ] = 0.5,
    before: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="NAME=VALUE",
            help="For inversion: what the input shows, of the run's conditions.",
        ),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="NAME=VALUE",
            help="What it is to show: a class's number, or 0.1,0.2 for a vector.",
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance towards --to.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For sdedit: 0 where the input stays as it is."),
    ] = None,
    samples: Annotated[
        int, typer.Option("-n", min=1, help="For sdedit: how many edits to draw.")
    ] = 4,
    iterations: Annotated[
        int,
        typer.Option(min=1, help="For inversion: calls a step on the way up; more are more exact."),
    ] = 5,
    sampler: Sampler = None,
    steps: Steps = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Edit a file: noise it part of the way, or invert it, and come back under what it is to show.

    Writes the edits in the input's own format (.nii.gz for DICOM) and summary.json.
    """
    from unfog.workflows.edit import edit_file

    result = edit_file(
        run,
        source,
        method.value,
        out,
        strength=strength,
        before=before or (),
        after=after or (),
        guidance=guidance,
        mask=mask,
        samples=samples,
        iterations=iterations,
        sampler=sampler,
        steps=steps,
        seed=seed,
        precision=precision.value,
    )
    emit(result, as_json)
