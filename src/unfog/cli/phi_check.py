"""``unfog phi-check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit

FOUND = 1  # exit status


def phi_check(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A file, or a folder with all below it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Look for text that may name a patient.

    Headers and extensions of NIfTI, tags of DICOM, sidecars, logs, reports, tables, and the
    metadata of pictures. The exit status is 1 where any is found; no value is printed in full. It
    finds what stands in known places or looks like a name, a date or a path, and cannot vouch for
    what it does not find.
    """
    from unfog.workflows.phi_check import check

    result = check(path)
    emit(result, as_json)
    if result["found"]:
        raise typer.Exit(FOUND)
