"""Diffusion MRI: a scan with its table: ``unfog dmri denoise``, ``fod`` and ``complete``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, FILE, NUMBER, Answers, Choice, Field
from unfog.lab.job import RESULT, STDOUT, Job
from unfog.lab.page import Made, Page
from unfog.lab.results import ResultFile, listing
from unfog.lab.runs_folder import RunsFolder

DENOISE, COMPLETE, FOD = "denoise", "complete", "fod"
VERBS = (
    Choice(DENOISE, "denoise it"),
    Choice(FOD, "find where fibres point, and how surely"),
    Choice(COMPLETE, "make the volumes of another table"),
)
PRIORS = (
    Choice("dmri-refiner", "low rank, then the shipped prior"),
    Choice("none", "low rank alone"),
)
# What is worth a look, in this order: a file's name, that in BIDS, and what a reader sees.
LOOKS = (
    (("fa", "fa_mean"), "Fractional anisotropy", "viridis"),
    (("fa_std",), "Its deviation", "magma"),
    (("md", "md_mean"), "Mean diffusivity", "viridis"),
    (("cone95",), "Cone of 95 %, in degrees", "magma"),
    (("trust",), "Where these are to be believed", ""),
    (("dwi_completed",), "Completed", ""),
    (("std",), "Error to expect of that", "magma"),
    (("dwi_denoised", "desc-denoised_dwi"), "Denoised", ""),
    (("scan", "dwi"), "As it was dropped", ""),
    (("residual", "desc-residual_dwimap"), "What was taken away", ""),
    (("expected_error", "desc-expectederror_dwimap"), "Error to expect", "magma"),
    (("noise", "desc-noise_dwimap"), "Noise", "magma"),
)


def _fields(runs: RunsFolder) -> Sequence[Field]:
    return (
        Field("scan", "Scan", FILE, accept=".nii,.nii.gz,.mif,.zip", required=True,
              help="NIfTI of four axes, .mif, or a BIDS data set as a zip."),
        Field("bvals", "b-values", FILE, "--bvals", accept=".bval,.bvals",
              help="The .bval file; not for BIDS."),
        Field("bvecs", "Directions", FILE, "--bvecs", accept=".bvec,.bvecs",
              help="The .bvec file; not for BIDS."),
        Field("verb", "What to do", CHOICE, default=DENOISE, choices=VERBS, required=True),
        Field("target_bvals", "b-values to make", FILE, "--target-bvals", accept=".bval,.bvals",
              only=("verb", (COMPLETE,))),
        Field("target_bvecs", "Directions to make", FILE, "--target-bvecs", accept=".bvec,.bvecs",
              only=("verb", (COMPLETE,))),
        Field("samples", "Draws", NUMBER, "--samples", "50", step="1",
              help="Cones of few are too narrow.", only=("verb", (FOD,))),
        Field("mask", "Mask", FILE, "--mask", accept=".nii,.nii.gz",
              help="Found by itself without."),
        Field("prior", "Method", CHOICE, "--prior", "dmri-refiner", choices=PRIORS,
              only=("verb", (DENOISE,))),
        Field("coils", "Coils", NUMBER, "--coils", step="1",
              help="Channels combined by sum of squares; read from the air without."),
        Field("drop", "Volumes to leave out", option="--drop-volumes",
              help="Such as 3,17,40-42, counted from 0."),
    )  # fmt: skip


def _command(answers: Answers, runs: RunsFolder) -> Made:
    """``unfog dmri VERB SCAN ...``, and then the maps that the page shows."""
    options = answers.options(_fields(runs))
    line = [
        "dmri",
        answers.values["verb"],
        answers.values["scan"],
        *options,
        "--out",
        RESULT,
        "--json",
    ]
    return Made(line, after="unfog.lab.maps")


def _found(files: Sequence[ResultFile], names: Sequence[str]) -> ResultFile | None:
    """The first volume of one of these names; in BIDS of any scan, whose name ends so."""
    volumes = [(one, one.path.name.split(".")[0]) for one in files if one.kind == "volume"]
    ends = tuple(f"_{name}" for name in names)
    for one, stem in volumes:
        if stem in names or (stem.endswith(ends) and ("desc-" in stem) == ("desc-" in names[-1])):
            return one
    return None


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """The warnings of a scan, or of all scans of a data set."""
    found = [str(w) for w in summary.get("warnings") or []]
    for value in summary.values():
        if isinstance(value, dict):
            found += _warnings(value)
    return found


def _view(job: Job, folder: Path) -> Mapping[str, Any]:
    """The volumes to scroll, and the warnings."""
    files = listing(folder)
    looks = [(label, one, table) for names, label, table in LOOKS if (one := _found(files, names))]
    summary = json.loads((folder / STDOUT).read_text("utf-8"))
    return {"looks": looks, "warnings": _warnings(summary)}


PAGE = Page(
    name="dmri",
    title="Diffusion MRI",
    lead="Drop a diffusion scan with its table: denoised, its fibres found, or completed.",
    submit="Begin",
    fields=_fields,
    command=_command,
    view=_view,
    examples=(
        Example(
            "phantom",
            "A synthetic scan, 30 directions",
            {"verb": DENOISE, "prior": "dmri-refiner", "coils": "1"},
            {"scan": "dwi.nii.gz", "bvals": "dwi.bval", "bvecs": "dwi.bvec"},
        ),
        Example(
            "fibres",
            "Its fibres, with cones",
            {"verb": FOD, "samples": "12", "coils": "1"},
            {"scan": "dwi.nii.gz", "bvals": "dwi.bval", "bvecs": "dwi.bvec"},
        ),
    ),
)
