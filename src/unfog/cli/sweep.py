"""``unfog sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml",
            help="What to train: system, out and grid, {setting: [values]}; data and set, for all.",
        ),
    ],
    processes: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train a run for every combination of settings.

    Asked for again it goes on: what is finished is left, what was stopped is resumed. Written are
    the runs, summary.json and report.html, which compares them. The exit status is 1 where a run
    failed.
    """
    from unfog.progress import progress
    from unfog.workflows.sweep import FAILED, read_sweep, run_sweep

    with progress("runs") as report:
        result = run_sweep(read_sweep(file), processes, report)
    emit(result, as_json)
    if result[FAILED]:
        raise typer.Exit(1)
