"""``unfog demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, emit


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="The smallest settings, to see that everything works.")
    ] = False,
    out: Out = Path("demo"),
    as_json: AsJson = False,
) -> None:
    """Train, sample and restore on built-in data, and write a report."""
    from unfog.demo.main import run_demo

    emit(run_demo(out, quick=quick), as_json)
