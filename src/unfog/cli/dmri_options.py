"""Options that several commands of ``unfog dmri`` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Dwi = Annotated[
    Path,
    typer.Argument(
        metavar="DWI",
        help="The scan, NIfTI of four dimensions, before any resampling, or a BIDS data set.",
    ),
]
Bvals = Annotated[Path | None, typer.Option(metavar="FILE", help="FSL's b-values.")]
Bvecs = Annotated[
    Path | None, typer.Option(metavar="FILE", help="FSL's vectors, in three rows or three columns.")
]
Grad = Annotated[
    Path | None, typer.Option(metavar="FILE", help="An MRtrix table, in place of the two.")
]


class Layout(StrEnum):
    """How vectors lie in their file."""

    auto = "auto"
    rows = "rows"
    columns = "columns"


class Method(StrEnum):
    """How to denoise."""

    prior = "prior"
    ddm2 = "ddm2"


Mask = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Above 0 where to work; found by itself without."),
]
Coils = Annotated[
    int,
    typer.Option(
        min=1, help="Channels combined by sum of squares: noise is non-central chi if over 1."
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="LABEL", help="Of a BIDS data set, these subjects alone."),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option("--session", metavar="LABEL", help="Of a BIDS data set, these sessions alone."),
]
Vectors = Annotated[Layout, typer.Option(help="How the vectors lie in their file.")]
