"""``unfog dmri complete``: the volumes of another gradient table, from files to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unfog.core.denoiser import InBfloat16
from unfog.dmri.denoising.blind import has_enough_directions
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.complete import check_target, completed
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.report import cut, planes_of, provenance
from unfog.dmri.workflows.scan import REFINER, Series, Tables, sizes
from unfog.files.folder import Job, job
from unfog.files.nifti import Volume
from unfog.report import Page, Row, colour, grey
from unfog.runs.run import Run

LEAD = (
    "A diffusion scan with the volumes of another gradient table: those measured denoised, "
    "the others predicted."
)
FEW = "A shell has fewer than 15 directions: what they leave open of its harmonics is the prior's."


def complete_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    target: Tables,
    mask: Path | None = None,
    coils: int = 1,
    prior: str = REFINER,
) -> dict[str, Any]:
    """The volumes of the ``target`` tables into the new folder ``out``: dwi_completed and its
    table, std, report.html, summary.json.
    """
    with job(out) as work:
        return _completed(work, dwi, tables, target, mask, coils, prior)


def _completed(
    work: Job,
    dwi: Path,
    tables: Tables,
    target: Tables,
    mask: Path | None,
    coils: int,
    prior: str,
) -> dict[str, Any]:
    check_target(tables.read(np.eye(4)), target.read(np.eye(4)))  # before anything large is read
    run = Run.open(prior)
    series = Series.open(dwi, tables, mask)
    at = target.read(series.stored.affine)
    first = denoise(
        series.volume.data,
        series.gradients,
        series.inside,
        coils=coils,
        report=work.progress("denoising"),
    )
    here, there = (table.along(series.volume.affine) for table in (series.gradients, at))
    found = completed(
        InBfloat16(run.denoiser),
        first,
        here,
        there,
        series.inside,
        report=work.progress("completing"),
    )
    volumes = {"dwi_completed": series.like(found.signal), "std": series.like(found.std)}
    files = series.write(work.folder, volumes)
    series.write_table(work.folder / "dwi_completed", at)
    options = {"target volumes": len(at), "target shells": sizes(at), "coils": coils}
    options |= {"prior": run.name, "prior sha256": run.weights_sha256}
    summary = series.summary(first, **options) | {"files": files}
    summary["warnings"] += [] if has_enough_directions(series.gradients) else [FEW]
    work.write_report(_page(volumes, at, series, summary).html())
    return work.end(summary)


def _page(
    volumes: Mapping[str, Volume], at: GradientTable, series: Series, summary: Mapping[str, Any]
) -> Page:
    """The page of upright volumes and the summary."""
    page = Page("unfog dmri complete", LEAD)
    page.facts(
        [
            (f"{len(at)}", "volumes"),
            (f"{len(series.gradients)}", "were measured"),
            (f"{summary['noise']:.3g}", "the noise's deviation"),
        ]
    )
    if summary["warnings"]:
        page.warning("What to know about this scan", *summary["warnings"])
    page.section(
        "The signal", "One volume of each shell, and the standard deviation to expect of its error."
    )
    planes = planes_of(series.inside)
    for name, some in {
        "b = 0": np.flatnonzero(at.b0),
        **{f"b = {b:.0f}": volumes for b, volumes in at.shells().items()},
    }.items():
        if len(some):
            signal, std = (
                volumes[key].data[..., int(some[-1])] for key in ("dwi_completed", "std")
            )
            top, wide = (float(np.percentile(x, 99.5)) or 1.0 for x in (signal, std))
            rows = [
                Row("signal", [grey(x, 0, top) for x in cut(signal, planes)]),
                Row("std", [colour(x, 0, wide) for x in cut(std, planes)]),
            ]
            page.pictures(rows, f"{name}: white is {top:.3g}; the deviation, bright at {wide:.3g}.")
    provenance(page, summary)
    return page
