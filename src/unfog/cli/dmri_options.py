"""Options that several commands of ``unfog dmri`` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.errors import InputError

Dwi = Annotated[
    Path,
    typer.Argument(
        metavar="DWI",
        help="The scan, NIfTI or .mif of four axes, before any resampling, or a BIDS data set; "
        "denoise takes complex NIfTI too.",
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
NetworkSteps = Annotated[
    int, typer.Option(min=10, help="Of ddm2: training steps of each of its two networks.")
]
PhaseFile = Annotated[
    Path | None,
    typer.Option("--phase", metavar="FILE", help="The phase of magnitudes: noise has no floor."),
]
PhaseUnit = Annotated[
    str | None,
    typer.Option(metavar="radians|degrees|4096", help="Of the phase; told by its range without."),
]
Norf = Annotated[
    str | None,
    typer.Option(
        metavar="LIST|FILE",
        help="Volumes without excitation, counted from 0 (70-72), or a file of them.",
    ),
]
NoiseMapFile = Annotated[
    Path | None,
    typer.Option(
        "--noise-map",
        metavar="FILE",
        help="The noise's deviation over space, up to a factor, as a g-factor map.",
    ),
]


Acqp = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The phase encodings that eddy is told, a row each."),
]
Index = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The row of --acqp of each volume, from 1.")
]


class NoiseLevel(StrEnum):
    """How noise is estimated."""

    auto = "auto"
    differences = "differences"
    mp = "mp"


NoiseBy = Annotated[
    NoiseLevel,
    typer.Option(
        "--noise-level",
        help="Estimate noise from differences within shells of 20 directions or more, or by the "
        "Marchenko-Pastur law; auto is the first where it can be.",
    ),
]
Coils = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Channels combined by sum of squares (non-central chi noise); read from the air "
        "without.",
    ),
]
Unbias = Annotated[
    bool, typer.Option("--unbias/--keep-bias", help="Take away what noise adds to magnitudes.")
]
B0 = Annotated[
    float | None,
    typer.Option(
        "--b0-threshold",
        min=0,
        metavar="B",
        help="Up to this b, s/mm^2, a volume counts as b = 0; told from the table without.",
    ),
]
Drop = Annotated[
    str | None,
    typer.Option(
        "--drop-volumes",
        metavar="LIST",
        help="Volumes to leave out of scan and table, counted from 0: 3,17,40-42.",
    ),
]


def volume_numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of a list such as 3,17,40-42; `InputError` where it is none."""
    numbers: list[int] = []
    for part in (text or "").replace(" ", "").split(",") if text else ():
        first, dash, last = part.partition("-")
        if not (first.isdigit() and (last.isdigit() or not dash)):
            raise InputError(f"Volumes are listed as 3,17,40-42, not {text!r}; write them so.")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


Subjects = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="LABEL", help="Of a BIDS data set, these subjects alone."),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option("--session", metavar="LABEL", help="Of a BIDS data set, these sessions alone."),
]
Vectors = Annotated[Layout, typer.Option(help="How the vectors lie in their file.")]
