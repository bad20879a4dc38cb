"""``unfog dmri fod``: where fibres point and how surely, from files to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unfog.core.denoiser import InBfloat16
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.fibres.fod import Fod, chosen_shell, drawn, fod_scales
from unfog.dmri.workflows.directions import Directions, coloured, sticks
from unfog.dmri.workflows.report import cut, planes_of, provenance
from unfog.dmri.workflows.scan import PRIOR, Series, Tables
from unfog.files.folder import Job, job
from unfog.files.nifti import Volume
from unfog.report import Page, Row, colour
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
LARGEST = (
    1.25  # phantoms come to 1.03 at most, fibres of each voxel by themselves (DIPY's FORCE) to 3.5
)
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
    coils: int = 1,
    samples: int = 200,
    prior: str = PRIOR,
    seed: int = 0,
) -> dict[str, Any]:
    """Posterior draws, summed up in the new folder ``out``: direction (world axes), cone95, cone50,
    fa_mean, fa_std, md_mean, md_std, fod_sh_samples (X, Y, Z, 15 x draws, as many as go into 256
    MB), report.html and summary.json.
    """
    with job(out) as work:
        return _drawn(work, dwi, tables, mask, coils, samples, prior, seed)


def _drawn(
    work: Job,
    dwi: Path,
    tables: Tables,
    mask: Path | None,
    coils: int,
    samples: int,
    prior: str,
    seed: int,
) -> dict[str, Any]:
    chosen_shell(tables.read(np.eye(4)))  # before anything large is read
    run = Run.open(prior)
    series = Series.open(dwi, tables, mask)
    data, gradients = series.volume.data, series.gradients
    first = denoise(
        data, gradients, series.inside, coils=coils, report=work.progress("finding the noise")
    )
    volumes, scales = chosen_shell(gradients), fod_scales(run)
    table = gradients[volumes]
    kept = int(np.clip(MOST // (15 * series.inside.size), 1, samples))
    found = drawn(
        InBfloat16(run.denoiser),
        first,
        gradients,
        volumes,
        series.inside,
        draws=samples,
        kept=kept,
        scales=scales,
        seed=seed,
        report=work.progress("drawing"),
    )
    maps = _volumes(series, found)
    files = series.write(work.folder, maps)
    options = {
        "coils": coils,
        "samples": samples,
        "seed": seed,
        "shell": round(float(table.bvals[~table.b0].mean())),
        "prior": run.name,
        "prior sha256": run.weights_sha256,
        "scales": scales,
        "fod samples": kept,
        "fod layout": LAYOUT,
        "response": found.response.tolist(),
        "misfit": found.maps.misfit.round(3).tolist(),
    }
    summary = series.summary(first, **options) | {"files": files}
    if any(words in text for words in NOT_WHITE for text in summary["warnings"]):
        summary["warnings"].append(NARROW)
    if found.maps.misfit[1] > LARGEST:
        summary["warnings"].append(UNLIKE.format(found.maps.misfit[1]))
    work.write_report(_page(maps, series, summary).html())
    return work.end(summary)


def _volumes(series: Series, found: Fod) -> dict[str, Volume]:
    names = ("direction", "cone95", "cone50", "fa_mean", "fa_std", "md_mean", "md_std")
    densities = np.moveaxis(found.samples, -1, -2).reshape(*found.samples.shape[:3], -1)
    return {name: series.like(getattr(found.maps, name)) for name in names} | {
        "fod_sh_samples": series.like(densities)
    }


def _page(maps: Mapping[str, Volume], series: Series, summary: Mapping[str, Any]) -> Page:
    """The page of upright volumes and the summary."""
    page, inside = Page("unfog dmri fod", LEAD), series.inside
    fibrous = inside & (maps["fa_mean"].data > 0.2)
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
    planes = planes_of(inside)
    axis, fa, cone95 = (maps[name].data for name in ("direction", "fa_mean", "cone95"))
    page.section(
        "Directions",
        "Red to the side, green to the front, blue upwards, as bright as the mean FA; and how "
        "far they may be off.",
    )
    rows = [
        Row(
            "direction",
            [coloured(*pair) for pair in zip(cut(fa, planes), cut(axis, planes), strict=True)],
        )
    ]
    rows += [
        Row(name, [colour(x, 0, top) for x in cut(maps[name].data, planes)])
        for name, top in BRIGHT.items()
    ]
    page.pictures(
        rows, "The 95 % cone, bright at 30 degrees; FA, at 1; its standard deviation, at .1."
    )
    along = Directions(axis, fa, cone95).along(series.volume.affine)
    grids = zip(*(cut(each, planes[len(planes) // 2 :][:1]) for each in along), strict=True)
    page.glyphs(
        [sticks(*grid) for grid in grids],
        "cones over FA",
        "Each direction in the middle of its 95 % cone, over FA (white is 1).",
    )
    provenance(page, summary)
    return page
