"""``unfog dmri complete``: the volumes of another gradient table, from files to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unfog.dmri.denoising.complete import FEWEST, LARGEST, check_target, completed
from unfog.dmri.denoising.held_out import HeldOut
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count
from unfog.dmri.shells import ORDER, left_out
from unfog.dmri.workflows.report import cut, planes_of, provenance, shells_with_b0
from unfog.dmri.workflows.scan import REFINER, Series, left_out_warning, sizes
from unfog.dmri.workflows.tables import Tables
from unfog.files.extent import brightest
from unfog.files.folder import Job, job
from unfog.files.nifti import Volume
from unfog.report import Page, Row, colour, grey
from unfog.runs.machine import AUTO, in_precision, resolve
from unfog.runs.run import Run

LEAD = (
    "A diffusion scan with the volumes of another gradient table: those measured denoised, "
    "the others predicted."
)
WORSE = (
    "The prior predicts directions that were held out worse than ridge regression does (error "
    "{:.3g} against {:.3g}), so ridge regression made these volumes: the scan is unlike those it "
    "knows."
)
NARROW = (
    "Directions that were held out are missed by {:.1f} times what the prior says, so std was "
    "widened by that."
)
FEW = "A shell has fewer than 15 directions: what they leave open of its harmonics is the prior's."


def complete_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    target: Tables,
    mask: Path | None = None,
    coils: int | None = None,
    unbias: bool = True,
    prior: str = REFINER,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Predict the volumes of other gradient tables, into a new folder: dwi_completed and its table,
    std, report.html and summary.json.

    Args:
        dwi: The scan.
        tables: Its gradients.
        out: The new folder.
        target: The gradients of the volumes to predict.
        mask: A file above 0 where to work; the head is found without one.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether what noise adds to magnitudes is taken away.
        prior: A run's folder, or the name of a shipped prior.
        precision: "bf16", "fp32", or "auto" for the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A file cannot be read, or a shell of the target was not measured well enough.
    """
    with job(out, dwi, *tables.files, mask) as work:
        return _completed(work, dwi, tables, target, mask, coils, unbias, prior, precision)


def _completed(
    work: Job,
    dwi: Path,
    tables: Tables,
    target: Tables,
    mask: Path | None,
    coils: int | None,
    unbias: bool,
    prior: str,
    precision: str,
) -> dict[str, Any]:
    """The work of ``complete_file``."""
    check_target(tables.read(np.eye(4)), target.read(np.eye(4)))  # before anything large is read
    run = Run.open(prior)
    series = Series.open(dwi, tables, mask)
    target_table = target.read(series.stored.affine)
    # Low rank, and then the posterior of the prior's harmonics at the directions of the target.
    low = series.low_rank(coils, unbias, work.progress("denoising"))
    measured_at = series.gradients.along(series.volume.affine)
    predicted_at = target_table.along(series.volume.affine)
    estimate = completed(
        in_precision(run.denoiser, precision),
        low,
        measured_at,
        predicted_at,
        series.inside,
        report=work.progress("completing"),
    )
    volumes = {"dwi_completed": series.like(estimate.signal), "std": series.like(estimate.std)}
    files = series.write(work.folder, volumes, target_table)
    series.write_table(work.folder / "dwi_completed", target_table)
    options = {
        "target volumes": len(target_table),
        "target shells": sizes(target_table),
        "prior": run.name,
        "prior sha256": run.weights_sha256,
        "precision": resolve(precision),
        "held out": None if estimate.check is None else _figures(estimate.check),
    }
    summary = series.summary(low, **options) | {"files": files}
    summary["warnings"] += _warnings(series.gradients, estimate.check)
    summary = work.hide(summary)
    work.write_report(_page(volumes, target_table, series, summary).html())
    return work.end(summary)


def _figures(check: HeldOut) -> dict[str, Any]:
    """What directions held out have shown, for the summary."""
    return {
        "error of the prior": check.prior,
        "error of ridge regression": check.ridge,
        "noise": check.noise,
        "misfit": round(check.misfit, 3),
        "used": "ridge regression" if check.prior_is_worse else "prior",
    }


def _warnings(gradients: GradientTable, check: HeldOut | None) -> list[str]:
    """Warnings about volumes in no usable shell, shells of few directions, and what directions held
    out have shown.
    """
    unused = left_out_warning(gradients, FEWEST, "they were not used")
    few = len(left_out(gradients, count(ORDER))) > len(left_out(gradients, FEWEST))
    warning = None
    if check is not None and check.prior_is_worse:
        warning = WORSE.format(check.prior, check.ridge)
    elif check is not None and check.misfit > LARGEST:
        warning = NARROW.format(check.misfit)
    return [text for text in (unused, FEW if few else None, warning) if text]


def _page(
    volumes: Mapping[str, Volume], target: GradientTable, series: Series, summary: Mapping[str, Any]
) -> Page:
    """The page of upright volumes and the summary."""
    page = Page("unfog dmri complete", LEAD)
    page.facts(
        [
            (f"{len(target)}", "volumes"),
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
    for name, numbers in shells_with_b0(target).items():
        if not len(numbers):
            continue
        signal, std = (volumes[key].data[..., int(numbers[-1])] for key in ("dwi_completed", "std"))
        top, wide = (brightest(x) or 1.0 for x in (signal, std))
        rows = [
            Row("signal", [grey(x, 0, top) for x in cut(signal, planes)]),
            Row("std", [colour(x, 0, wide) for x in cut(std, planes)]),
        ]
        page.pictures(rows, f"{name}: white is {top:.3g}; the deviation, bright at {wide:.3g}.")
    provenance(page, summary)
    return page
