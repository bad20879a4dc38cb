"""``unfog dmri fod``: fibre orientations with their uncertainty, from files to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unfog.dmri.fibres.fod import Fod, chosen_shell, drawn, fod_scales, trusted
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count
from unfog.dmri.shells import ORDER
from unfog.dmri.workflows.directions import Directions, sticks
from unfog.dmri.workflows.report import cut, planes_of, provenance
from unfog.dmri.workflows.scan import PRIOR, Series, left_out_warning
from unfog.dmri.workflows.tables import Tables
from unfog.files.folder import Job, job
from unfog.files.nifti import Volume
from unfog.report import Page, Row, colour
from unfog.report.figures import coloured
from unfog.runs.machine import AUTO, in_precision, resolve
from unfog.runs.run import Run

LEAD = (
    "Where the fibres of a diffusion scan point, and how surely: draws of the posterior, "
    "summed up voxel by voxel."
)
BRIGHT = {"cone95": 30.0, "fa_mean": 1.0, "fa_std": 0.1}  # of the report
MOST = 1 << 26  # numbers in the file of densities: 256 MB
LAYOUT = "volume 15 k + j is coefficient j of draw k, in MRtrix's basis and order, to order 4"
NOT_WHITE = ("denoised already", "interpolated", "correlated")  # words of warnings
UNLIKE = (
    "The mean leaves {:.1f} times what its draws say of the harmonics of order 2: directions "
    "vary from voxel to voxel in ways that "
    "the prior does not know, so neither directions nor cones are to be trusted."
)
# The largest misfit without a warning: phantoms come to 1.03 at most, and scans whose voxels have
# independent fibres (DIPY's FORCE) to 3.5.
LARGEST = 1.25
NARROW = (
    "Cones and deviations hold for noise as it was acquired, white; here it is not, so "
    "they are too narrow."
)


def fod_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    mask: Path | None = None,
    coils: int | None = None,
    unbias: bool = True,
    samples: int = 200,
    prior: str = PRIOR,
    precision: str = AUTO,
    seed: int = 0,
) -> dict[str, Any]:
    """Draw from the posterior of fibre orientations, and write summaries of it into a new folder.

    The folder holds direction (world axes), cone95, cone50, fa_mean, fa_std, md_mean, md_std, trust
    (1 or 0), fod_sh_samples (X, Y, Z, 15 x draws, as many as go into 256 MB), report.html and
    summary.json.

    Args:
        dwi: The scan.
        tables: Its gradients.
        out: The new folder.
        mask: A file above 0 where to work; the head is found without one.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether what noise adds to magnitudes is taken away.
        samples: The number of draws.
        prior: A run's folder, or the name of a shipped prior.
        precision: "bf16", "fp32", or "auto" for the faster one here.
        seed: Of the draws.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A file cannot be read, or no shell has enough directions.
    """
    with job(out, dwi, *tables.files, mask) as work:
        return _drawn(work, dwi, tables, mask, coils, unbias, samples, prior, precision, seed)


def _drawn(
    work: Job,
    dwi: Path,
    tables: Tables,
    mask: Path | None,
    coils: int | None,
    unbias: bool,
    samples: int,
    prior: str,
    precision: str,
    seed: int,
) -> dict[str, Any]:
    """The work of ``fod_file``."""
    chosen_shell(tables.read(np.eye(4)))  # before anything large is read
    run = Run.open(prior)
    series = Series.open(dwi, tables, mask)
    # The noise by low rank, of all volumes; draws from one shell and its b = 0.
    low = series.low_rank(coils, unbias, work.progress("finding the noise"))
    volumes = chosen_shell(series.gradients)
    table = series.gradients[volumes]
    options: dict[str, Any] = {
        "samples": samples,
        "seed": seed,
        "shell": round(float(table.bvals[~table.b0].mean())),
        "volumes used": len(volumes),
        "prior": run.name,
        "prior sha256": run.weights_sha256,
        "precision": resolve(precision),
        "scales": fod_scales(run),
        "fod samples": int(np.clip(MOST // (15 * series.inside.size), 1, samples)),
        "fod layout": LAYOUT,
    }
    fibres = drawn(
        in_precision(run.denoiser, precision),
        low,
        series.gradients,
        volumes,
        series.inside,
        draws=samples,
        kept=options["fod samples"],
        scales=options["scales"],
        seed=seed,
        report=work.progress("drawing"),
    )
    options["response"] = fibres.response.tolist()
    misfit = [None if np.isnan(one) else round(float(one), 3) for one in fibres.maps.misfit]
    options["misfit"] = misfit
    maps = _volumes(series, fibres)
    files = series.write(work.folder, maps)
    summary = series.summary(low, **options) | {"files": files}
    summary["warnings"] += _warnings(summary["warnings"], series.gradients, misfit[1])
    summary = work.hide(summary)
    work.write_report(_page(maps, series, summary).html())
    return work.end(summary)


def _warnings(scan: Sequence[str], gradients: GradientTable, misfit: float | None) -> list[str]:
    """Warnings of this method, given those of the ``scan``, its table and the misfit at order 2."""
    warnings = []
    if any(words in text for words in NOT_WHITE for text in scan):
        warnings.append(NARROW)
    if misfit is not None and misfit > LARGEST:
        warnings.append(UNLIKE.format(misfit))
    if unused := left_out_warning(gradients, count(ORDER), "they were not used"):
        warnings.append(unused)
    return warnings


def _volumes(series: Series, fibres: Fod) -> dict[str, Volume]:
    """The maps and the draws of densities, as volumes by the names of their files."""
    names = ("direction", "cone95", "cone50", "fa_mean", "fa_std", "md_mean", "md_std")
    densities = np.moveaxis(fibres.samples, -1, -2).reshape(*fibres.samples.shape[:3], -1)
    volumes = {name: series.like(getattr(fibres.maps, name)) for name in names}
    volumes["trust"] = series.like(trusted(fibres.maps))
    return volumes | {"fod_sh_samples": series.like(densities)}


def _page(maps: Mapping[str, Volume], series: Series, summary: Mapping[str, Any]) -> Page:
    """The page of upright volumes and the summary."""
    page = Page("unfog dmri fod", LEAD)
    fibrous = series.inside & (maps["fa_mean"].data > 0.2)
    cone = f"{np.median(maps['cone95'].data[fibrous]):.1f}" if fibrous.any() else "none"
    page.facts(
        [
            (cone, "degrees, the median 95 % cone where FA > .2"),
            (str(summary["shell"]), "s/mm^2, the shell"),
            (str(summary["samples"]), "draws"),
        ]
    )
    if summary["warnings"]:
        page.warning("What to know about this scan", *summary["warnings"])
    _directions(page, maps, series)
    provenance(page, summary)
    return page


def _directions(page: Page, maps: Mapping[str, Volume], series: Series) -> None:
    """Directions in colours, their cones and FA as maps, and cones over one slice of FA."""
    planes = planes_of(series.inside)
    axis, fa, cone95 = (maps[name].data for name in ("direction", "fa_mean", "cone95"))
    page.section(
        "Directions",
        "Red to the side, green to the front, blue upwards, as bright as the mean FA; and how "
        "far they may be off.",
    )
    rows = [Row("direction", list(map(coloured, cut(fa, planes), cut(axis, planes))))]
    rows += [
        Row(name, [colour(x, 0, top) for x in cut(maps[name].data, planes)])
        for name, top in BRIGHT.items()
    ]
    page.pictures(
        rows, "The 95 % cone, bright at 30 degrees; FA, at 1; its standard deviation, at .1."
    )
    middle = planes[len(planes) // 2 :][:1]
    along = Directions(axis, fa, cone95).along(series.volume.affine)
    grids = zip(*(cut(each, middle) for each in along), strict=True)
    page.glyphs(
        [sticks(*grid) for grid in grids],
        "cones over FA",
        "Each direction in the middle of its 95 % cone, over FA (white is 1).",
    )
