"""``unfog reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, emit

DIFFERS = 1  # exit status


def reproduce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where the data are now; where they were by default."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run that it was fine-tuned from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a run again from its config, and say whether its bytes come out the same.

    Data that changed are told before. The exit status is 1 where bytes differ.
    """
    import unfog.builtin  # noqa: F401  (registers every name)
    from unfog.runs import reproduce as work

    result = work.reproduce(run, out, data, start)
    emit(result, as_json)
    if not result["equal"]:
        raise typer.Exit(DIFFERS)
