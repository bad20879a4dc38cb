"""``unfog sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import (
    AsJson,
    From,
    In,
    Loras,
    Out,
    Precision,
    Sampler,
    Seed,
    Steps,
    either,
    emit,
    given,
)


def sample(
    context: typer.Context,
    out: Out,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="Folder of a trained run, or a shipped prior.", show_default=False
        ),
    ] = None,
    source: From = None,
    loras: Loras = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            help="How many samples, of each mask or prompt: 16, or 1 of several.",
            show_default=False,
        ),
    ] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Times of the steps, such as trailing or karras; the run's own by default."
        ),
    ] = None,
    seed: Seed = 0,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="The class to sample, of a run trained with classes: its number, or its name "
            "where classes have names.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the samples show where, of a run trained with masks: labels (.nii.gz, .png, "
            ".npy), or probabilities with an axis of classes (4-D .nii.gz, .npy of floats).",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="K,..", help="The classes of the mask that are asked for; the others are free."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT|@FILE",
            help="What the samples show, of a run trained with text: a prompt, several with "
            "weights ('a red heart:0.7 | a blue heart:0.3'), or a file of one a line.",
        ),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="What the samples are to be unlike, under guidance."),
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(
            metavar="W|NAME=W,..",
            help="Classifier-free guidance: 0 ignores class, mask and text, 1 uses them, more "
            "insists; or a scale for each, such as mask=2,class=1.5.",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--guidance-interval",
            metavar="LOW,HIGH",
            help="Noise levels (sigma / alpha) between which there is guidance; all by default.",
        ),
    ] = None,
    rescale: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the way that guided samples are taken back to their unguided spread.",
        ),
    ] = None,
    seamless: Annotated[
        bool,
        typer.Option(
            "--seamless", help="Go on at the opposite border, so that copies tile: for textures."
        ),
    ] = False,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,N",
            help="Size of a sample; a volume larger than the training's is made in windows.",
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows",
            help="Make a picture larger than the training's in overlapping windows of that size: "
            "for panoramas and large canvases.",
        ),
    ] = False,
    repeat: Annotated[
        str | None,
        typer.Option(
            metavar="square|half-drop|brick",
            help="Of pictures: cloth that repeats without a seam; --shape is the canvas, of whole "
            "repeats.",
        ),
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS,COLUMNS", help="Of cloth: the size of a repeat; the canvas's by default."
        ),
    ] = None,
    dpi: Annotated[
        float | None,
        typer.Option(help="Of cloth and art: dots an inch; of cloth TIFF and PDF are written too."),
    ] = None,
    palette: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of pictures in colour: a palette that they are drawn towards, one #rrggbb a "
            "line, or .gpl.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of art: a small picture that the canvas of --shape enlarges."
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of a cascade: noise in the small pictures, so that upsamplers trust them less.",
        ),
    ] = 0.0,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Of clips: frames of one; more than in training go on and on."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Of clips: frames a second; 8 by default.")
    ] = None,
    longer: Annotated[
        str | None,
        typer.Option(
            metavar="extend|hierarchy",
            help="Of clips longer than in training: one part after the other, or every fourth "
            "frame first.",
        ),
    ] = None,
    atoms: Annotated[
        int | None,
        typer.Option(min=1, help="Of molecules: atoms of each; as in training by default."),
    ] = None,
    asked: Annotated[
        str | None,
        typer.Option(
            "--property",
            metavar="NAME=VALUE,..",
            help="What samples measure, of a run trained with properties, in their units: of "
            "garments such as width=0.5,brightness=0.8, of molecules gap=5.2.",
        ),
    ] = None,
    best: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Of garments with --property: of N draws of each the one that measures nearest.",
        ),
    ] = 1,
    sketch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Lines that the samples follow, of a run trained with sketches."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of molecules: a fragment that each keeps, or pieces to be linked.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Of sounds: how long; as in training by default.")
    ] = None,
    tempo: Annotated[
        float | None, typer.Option(min=1, help="Of loops: their tempo in beats a minute.")
    ] = None,
    mel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of a vocoder: the sound whose spectrogram it follows."),
    ] = None,
    vocoder: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Of a run that draws spectrograms: what makes sounds of them; Griffin-Lim by "
            "default.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Of the samples only the I-th of N shares, of whole batches: the same bytes as "
            "they have among all.",
        ),
    ] = None,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Draw samples from a run, from a cascade, or from a pipeline of Stable Diffusion (--from).

    Pictures with a contact sheet, or NIfTI volumes, and samples.npy with the numbers; with --mask
    the mask of each sample beside it, and masks.npy; with --text the prompt in each name, and
    metadata.jsonl. Of cloth the tile, the canvas, and with --dpi prints; of art tiled TIFF. Of a
    run of clips MP4, GIF and report.html, which plays them; of sound WAV, and such a page; of
    molecules SDF with bonds, XYZ and report.html, which turns them.
    """
    from unfog.workflows.drawing import WAYS
    from unfog.workflows.ways import by_run

    told = given(context, "run", "source", "out", "count")
    emit(by_run(WAYS, "sampling", either(run, source), count, out, given=told), as_json)
