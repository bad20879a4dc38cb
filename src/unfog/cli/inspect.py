"""``unfog inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit


def inspect(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="Folder of a run, or a file.")],
    as_json: AsJson = False,
) -> None:
    """Say what a run or a file is.

    A run: configuration, parameters, step and verified hashes. A file: shape, affine, units and
    warnings. Weights (.safetensors), ours or others': a guess of the architecture by the tensors'
    names, parameters, types and metadata; the header alone is read.
    """
    from unfog.workflows.inspect import inspect_path

    emit(inspect_path(path), as_json)
