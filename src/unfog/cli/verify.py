"""``unfog verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit

UNSOUND = 1  # exit status


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or a shipped prior.")],
    accept: Annotated[
        bool, typer.Option("--accept", help="Adopt the config as it is now; say what changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say file by file whether a run is as it was written.

    The exit status is 1 where a file is not. Checkpoints, solvers and uncertainty are never
    adopted.
    """
    from unfog.runs.verify import verify as work

    result = work(run, accept)
    emit(result, as_json)
    if not result["sound"]:
        raise typer.Exit(UNSOUND)
