"""``unfog ema``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit


def ema(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run trained with --set training.snapshot_every=N."),
    ],
    length: Annotated[
        float,
        typer.Option(
            help="Standard deviation of the average over training, as a share of it: 0.05 is short."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="New folder for the run with these weights."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Average a run's weights over another length of its training, after the training.

    Written is a run to sample from or to restore with.
    """
    from unfog.workflows.average import average_run

    emit(average_run(run, length, out), as_json)
