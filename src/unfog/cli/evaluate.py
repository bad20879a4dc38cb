"""``unfog evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Sampler, Seed, Steps, emit, given


def evaluate(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of pictures or of samples."),
    ],
    out: Out,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Real data; what the run was trained on by default."
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            metavar="imagenet|data|pixels",
            help="The features of the distances: ImageNet's, those of a network trained on the "
            "data, or the pixels.",
        ),
    ] = "imagenet",
    count: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, help="Samples: 1000 of a run, or all of a folder.", show_default=False
        ),
    ] = None,
    paired: Annotated[
        bool,
        typer.Option("--paired", help="Each picture against its own truth, by name: PSNR, SSIM."),
    ] = False,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Judge samples beside real data: distances, precision and recall, coverage, spectra.

    Each with its 95 % interval, and with the floor that real data leave in the samples' place.
    Written are figures.json and report.html, with the real pictures nearest to some samples.
    """
    from unfog.errors import InputError
    from unfog.workflows import evaluate as work

    if paired:
        strange = sorted(given(context, "source", "out", "against", "paired"))
        if strange or against is None:
            raise InputError(
                f"Pairs do not know {', '.join(strange)}; leave it out."
                if strange
                else "Pairs need the truth; give --against a folder of as many pictures."
            )
        emit(work.evaluate_pairs(source, out, against), as_json)
        return
    result = work.evaluate(
        source,
        out,
        against=against,
        features=features,
        count=count,
        steps=steps,
        sampler=sampler,
        seed=seed,
        precision=precision.value,
    )
    emit(result, as_json)
