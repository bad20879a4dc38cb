"""``unfog lab``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lab(
    folder: Annotated[
        Path, typer.Argument(metavar="RUNS_FOLDER", help="Where your runs are.")
    ] = Path("runs"),
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen on this address of the machine; others can reach it there.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8642,
) -> None:
    """Open the lab: a local web page to drop a scan, sample, and see noise come and go.

    Prints the address to open. Jobs, and the files that are dropped, lie in RUNS_FOLDER/.lab.
    """
    from unfog.lab.server import serve

    serve(folder, host, port)
