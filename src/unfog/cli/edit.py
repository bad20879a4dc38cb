"""``unfog edit``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Run, Sampler, Seed, Steps, emit
from unfog.errors import InputError


class Method(StrEnum):
    """How to edit."""

    sdedit = "sdedit"
    inversion = "inversion"
    inpaint = "inpaint"
    variations = "variations"
    interpolate = "interpolate"
    extend = "extend"
    animate = "animate"


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
            "noise and draws anew; inpaint draws what is in the hole of --mask, by a run trained "
            "to; of a cascade such as dalle2, variations draws other pictures "
            "of its embedding, and interpolate those between it and --other. Of a run of clips, "
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
        typer.Option(metavar="FILE", help="For sdedit and inpaint: 0 where the input stays."),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For interpolate: the picture at the other end."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option("-n", min=1, help="For sdedit, inpaint and of a cascade: how many to draw."),
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
    as_json: AsJson = False,
) -> None:
    """Edit a file: noise it part of the way, or invert it, and come back under what it is to show;
    or go on where a clip ends.

    Writes the edits in the input's own format (.nii.gz for DICOM) and summary.json; of clips MP4,
    GIF and report.html.
    """
    from unfog.workflows.cascade import edit_by_cascade, is_cascade
    from unfog.workflows.clips import animate_picture, edit_video, is_video
    from unfog.workflows.edit import edit_file

    if method is Method.animate:
        unknown: dict[str, object] = {"--from": before, "--to": after, "--mask": mask}
        unknown |= {"--sampler": sampler, "--frames": frames}
        how_to: dict[str, Any] = {"other": other, "looping": looping, "text": text, "fps": fps}
        how_to |= {"guidance": 1.0 if guidance is None else guidance}
        how_to |= {"image_guidance": image_guidance, "samples": samples, "steps": steps}
        how_to |= {"seed": seed, "precision": precision.value}
        emit(animate_picture(run, source, out, unknown, **how_to), as_json)
        return
    if text is not None or looping or image_guidance != 1:
        raise InputError("--text, --loop and --image-guidance are for --method animate.")
    if is_video(run) and method in (Method.extend, Method.interpolate):
        others: dict[str, object] = {
            "--from": before,
            "--to": after,
            "--mask": mask,
            "--other": other,
        }
        others |= {"--guidance": guidance}
        asked: dict[str, Any] = {"frames": frames, "factor": factor, "fps": fps, "by": by}
        asked |= {"samples": samples, "sampler": sampler, "steps": steps, "seed": seed}
        asked |= {"precision": precision.value}
        emit(edit_video(run, source, method.value, out, others, **asked), as_json)
        return
    if method is Method.extend:
        raise InputError("extend is of a run of clips; train the system video.")
    embedded = method in (Method.variations, Method.interpolate)
    if embedded != is_cascade(run):
        raise InputError(
            "variations and interpolate are of a cascade's folder, sdedit, inversion and inpaint "
            "of a run's."
        )
    if embedded:
        given = {"--from": before, "--to": after, "--mask": mask, "--sampler": sampler}
        if any(value for value in given.values()):
            raise InputError(f"A cascade edits by a picture alone; leave out {', '.join(given)}.")
        how: dict[str, Any] = {"other": other, "samples": samples, "seed": seed}
        how |= {"guidance": guidance, "steps": steps, "precision": precision.value}
        emit(edit_by_cascade(run, source, method.value, out, **how), as_json)
        return
    if other is not None:
        raise InputError("--other is for --method interpolate; leave it out.")
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
