"""``unfog augment-study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Precision, Run, Sampler, emit


def augment_study(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the study.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="The labelled pictures; those of the run by default."
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Pictures to score on; the test split of built-in data by default.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The class or mask that is the task; the first of both."),
    ] = None,
    labels: Annotated[
        str, typer.Option(metavar="N,N,..", help="Numbers of labelled pictures.")
    ] = "50,200,1000",
    ratios: Annotated[
        str, typer.Option(metavar="R,R,..", help="Synthetic pictures a real one.")
    ] = "1,4",
    seeds: Annotated[int, typer.Option(min=1, help="Choices of labelled pictures.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each network's training.")] = 600,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of classifier-free guidance.")
    ] = None,
    sampler: Sampler = None,
    sampler_steps: Annotated[
        int | None, typer.Option(min=1, help="Sampler steps of the run; its own by default.")
    ] = None,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Say whether pictures that a run draws help a task that has few labels.

    A small network learns a class or a mask from few real pictures, from those with classical
    augmentation, and from those with synthetic ones, over several choices. Goes on after a stop.
    """
    from unfog.progress import progress
    from unfog.workflows import augment_study as work

    with progress("study") as report:
        result = work.augment_study(
            run,
            out,
            data=data,
            test=test,
            target=target,
            labels=[int(n) for n in _numbers(labels, "--labels", whole=True)],
            ratios=_numbers(ratios, "--ratios"),
            seeds=seeds,
            steps=steps,
            guidance=guidance,
            sampler=sampler,
            sampler_steps=sampler_steps,
            precision=precision.value,
            report=report,
        )
    emit(result, as_json)


def _numbers(text: str, option: str, whole: bool = False) -> list[float]:
    """Numbers between commas."""
    from unfog.errors import InputError

    try:
        return [int(part) if whole else float(part) for part in text.split(",")]
    except ValueError as error:
        kind = "whole numbers" if whole else "numbers"
        raise InputError(f"{option} takes {kind} between commas, not {text!r}.") from error
