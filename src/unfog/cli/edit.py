"""``unfog edit``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import (
    AsJson,
    In,
    KeepNames,
    Out,
    Precision,
    Run,
    Sampler,
    Seed,
    Steps,
    emit,
    given,
)


class Method(StrEnum):
    """How to edit."""

    sdedit = "sdedit"
    inversion = "inversion"
    inpaint = "inpaint"
    texture = "texture"
    variations = "variations"
    interpolate = "interpolate"
    extend = "extend"
    animate = "animate"


def edit(
    context: typer.Context,
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
            "noise and draws anew; inpaint draws what is in the hole of --mask, by a run trained "
            "to; texture draws it in that of --swatch; interpolate draws pictures between it and "
            "--other; of a cascade such as dalle2, variations draws other pictures of its "
            "embedding. Of a run of clips, "
            "extend draws what comes after the input, a clip or a picture, and interpolate what "
            "lies between its frames; animate begins with a picture, by a run of dynamicrafter."
        ),
    ],
    out: Out,
    strength: Annotated[
        float,
        typer.Option(
            help="Not for inpaint: the share of the steps that are gone back; 0 changes nothing."
        ),
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
            help="What it is to show: a class's number, 0.1,0.2 for a vector, text='a red heart'.",
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance towards --to.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For sdedit, inpaint, texture: 0 where the input stays."),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For interpolate: the picture at the other end."),
    ] = None,
    swatch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For texture: a picture of cloth, at least the run's."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option("-n", min=1, help="Not for inversion: how many to draw."),
    ] = 4,
    iterations: Annotated[
        int,
        typer.Option(min=1, help="For inversion: calls a step on the way up; more are more exact."),
    ] = 5,
    frames: Annotated[
        int | None,
        typer.Option(min=2, help="For extend: frames in all, the given ones among them."),
    ] = None,
    factor: Annotated[
        int, typer.Option(min=2, help="For interpolate: how many times as many frames.")
    ] = 2,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, help="Of a clip: its frames a second, where it does not say."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="auto|given|NAME",
            help="Of a clip: how frames are known: told to the network, or by a posterior method "
            "such as mmps or reconstruction.",
        ),
    ] = "auto",
    text: Annotated[str | None, typer.Option(help="For animate: what happens.")] = None,
    image_guidance: Annotated[
        float, typer.Option(help="For animate: guidance towards what the picture shows.")
    ] = 1.0,
    looping: Annotated[
        bool, typer.Option("--loop", help="For animate: go on where the clip began.")
    ] = False,
    sampler: Sampler = None,
    steps: Steps = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Edit a file: noise it part of the way, or invert it, and come back under what it is to show;
    or go on where a clip ends.

    Writes the edits in the input's own format (.nii.gz for DICOM) and summary.json; of clips MP4,
    GIF and report.html.
    """
    from unfog.files import names
    from unfog.workflows.editing import WAYS
    from unfog.workflows.ways import by_run

    names.keep_names(keep_names)
    told = given(context, "run", "source", "method", "out", "keep_names")
    done = by_run(WAYS[method], method.value, run, source, method.value, out, given=told)
    emit(done, as_json)
