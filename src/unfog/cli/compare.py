"""``unfog compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit


def compare(
    data: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="One of `unfog data`, or your own files.")
    ],
    systems: Annotated[str, typer.Option(metavar="A,B,..", help="Systems, such as ddpm,gan,vae.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the runs and their comparison."),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each system.")] = 5,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="CPU minutes of each run's training.")
    ] = 5.0,
    features: Annotated[
        str, typer.Option(metavar="data|imagenet|pixels", help="The features of the distances.")
    ] = "data",
    count: Annotated[int, typer.Option("-n", min=20, help="Samples of a run.")] = 1000,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[SYSTEM:]KEY=VALUE",
            help="A setting of all runs, or of a system's; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train systems side by side over seeds, and say how good, stable and costly they are.

    Asked for again it goes on after a stop. Written are the runs, summary.json and report.html.
    The exit status is 1 where a run failed.
    """
    import unfog.builtin  # noqa: F401  (registers every name)
    from unfog.errors import InputError
    from unfog.files import yaml
    from unfog.progress import progress
    from unfog.workflows import compare as work

    pairs = {}
    for pair in settings or ():
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"A setting is key=value, like training.batch=32, not {pair!r}.")
        pairs[key] = yaml.parse(text, f"The value of {key}")
    names = [name.strip() for name in systems.split(",") if name.strip()]
    with progress("runs") as report:
        result = work.compare(
            data,
            names,
            out,
            seeds=seeds,
            minutes=minutes,
            features=features,
            count=count,
            settings=pairs,
            report=report,
        )
    emit(result, as_json)
    if result["failed"]:
        raise typer.Exit(1)
