"""``unfog bids``: the command line of BIDS Apps."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.dmri_options import Coils, Unbias
from unfog.cli.options import AsJson, In, KeepNames, Precision, emit
from unfog.errors import InputError


class Level(StrEnum):
    """Levels of analysis of a BIDS App; scans are denoised one participant at a time."""

    participant = "participant"
    group = "group"


Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--participant-label",
        "--participant_label",
        metavar="LABEL",
        help="These participants alone; further labels may follow.",
    ),
]
SessionLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--session-label", "--session_label", metavar="LABEL", help="These sessions alone."
    ),
]


def bids(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A BIDS data set.")],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Derivatives; what is finished there is not done again."
        ),
    ],
    level: Annotated[Level, typer.Argument(metavar="LEVEL", help="participant")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="LABEL", help="Of --participant-label.")
    ] = None,
    participant_label: Labels = None,
    session_label: SessionLabels = None,
    prior: Annotated[
        str, typer.Option(metavar="RUN", help="The prior that follows low rank, or none.")
    ] = "dmri-refiner",
    coils: Coils = None,
    unbias: Unbias = True,
    precision: In = Precision.auto,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Denoise the diffusion scans of a BIDS data set, as a BIDS App.

    Runs of one phase encoding, contrast and grid are denoised together, magnitudes with their
    phases; reversed encodings are never mixed. Derivatives may be added to, a participant a job.
    Exit status 2 where a scan failed; the others are done.
    """
    from unfog.dmri.workflows.bids_app import participant_level
    from unfog.dmri.workflows.denoise import denoise_file
    from unfog.files import names

    names.keep_names(keep_names)
    if level is Level.group:
        raise InputError("There is nothing to do at the group level; give participant.")
    if more and (session_label or not participant_label):
        raise InputError(
            f"{more[0]!r} follows no option alone; repeat --participant-label or --session-label "
            "for each label."
        )
    options = {"prior": prior, "coils": coils, "unbias": unbias, "precision": precision.value}
    said = " ".join(f"{name}={value}" for name, value in options.items() if value is not None)
    summary = participant_level(
        source,
        out,
        partial(denoise_file, **options),  # type: ignore[arg-type]
        command=f"unfog bids, {said}",
        subjects=[*(participant_label or ()), *(more or ())],
        sessions=session_label or (),
    )
    emit(summary, as_json)
