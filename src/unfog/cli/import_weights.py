"""``unfog import-weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, emit


def import_weights(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="A .safetensors, a .pt or .ckpt, or a folder of diffusers or of TAESD's files.",
        ),
    ],
    out: Out,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, or diffusers, monai, openai, ldm, ldm-unet, taesd: whose names they are.",
        ),
    ] = "auto",
    size: Annotated[
        str | None, typer.Option(help="Sides of the samples, such as 64 or 32,32,32.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What the file does not say, such as network.head_dim=64; repeat it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a run of foreign weights: sample, restore and edit with it.

    Tensors are checked by name and shape, settings that are not honoured are named. A legacy pickle
    is read as tensors alone, in a process limited in memory and time.
    """
    from unfog.workflows.drawing import sizes
    from unfog.workflows.import_weights import import_weights as made

    sides = None if size is None else sizes("--size", size)
    emit(made(source, out, form, sides, settings or ()), as_json)
