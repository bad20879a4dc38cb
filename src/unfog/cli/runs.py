"""``unfog runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where your runs are; looked for below too.")
    ] = Path("runs"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE|KEY<VALUE|KEY>VALUE",
            help="Only runs with such a setting, step or loss; repeatable.",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Show the settings that differ, and the loss curves."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="New folder for the comparison's page."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, filter them by their settings, and compare them."""
    from unfog.workflows import run_table

    records = run_table.list_runs(folder, where or ())
    if out is not None:
        emit(run_table.write_page(records, out), as_json)
    elif as_json:
        emit(run_table.plain(records, compare), as_json)
    else:
        typer.echo((run_table.comparison if compare else run_table.table)(records))
