"""``unfog distill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Run, emit, stopped


def distill(
    run: Run,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="NEWRUN", help="Folder of the distilled run.")
    ],
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps of the distilled run.")] = 2,
    method: Annotated[
        str,
        typer.Option(
            help="adversarial (told from real data in the teacher's features), or consistency."
        ),
    ] = "adversarial",
    start: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="An earlier student, from whose weights to start."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in NEWRUN.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="About so long: sets training.steps by a short measurement."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a run that samples in a few steps out of a trained one.

    It is trained on the data of RUN, which must still be there, and `unfog sample NEWRUN` needs no
    further options.
    """
    import unfog.builtin  # noqa: F401  (registers every name)
    from unfog.runs.distill import distill_run
    from unfog.training.guard import Interrupted

    try:
        result = distill_run(
            run,
            steps,
            out,
            settings or [],
            method=method,
            start=start,
            resume=resume,
            minutes=minutes,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        raise stopped(f"unfog distill {run}", out, stop) from stop
    emit(result, as_json)
