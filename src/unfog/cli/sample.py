"""``unfog sample``."""

from __future__ import annotations

from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Run, Sampler, Seed, Steps, emit, sizes


def sample(
    run: Run,
    out: Out,
    count: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 16,
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
        int | None,
        typer.Option("--class", min=0, help="The class to sample, of a run trained with classes."),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Classifier-free guidance: 0 ignores the class, 1 uses it, more insists."
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
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Draw samples from a run.

    Pictures with a contact sheet, or NIfTI volumes, and samples.npy with the numbers.
    """
    from unfog.workflows.sample import sample_run

    result = sample_run(
        run,
        count,
        out,
        sampler=sampler,
        steps=steps,
        grid=grid,
        seed=seed,
        label=label,
        guidance=guidance,
        seamless=seamless,
        shape=None if shape is None else sizes("--shape", shape),
        precision=precision.value,
    )
    emit(result, as_json)
