"""``unfog export``."""

from __future__ import annotations

from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, Run, emit


def export(
    run: Run,
    out: Out,
    form: Annotated[str, typer.Option("--format", help="diffusers, monai or onnx.")] = "diffusers",
    as_json: AsJson = False,
) -> None:
    """Write a run for another library: a folder of diffusers, MONAI's state dictionary, or ONNX.

    What the other library cannot hold is named, and then nothing is written.
    """
    from unfog.workflows.export import export_run

    emit(export_run(run, form, out), as_json)
