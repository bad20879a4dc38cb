"""``unfog dmri report``: a page about a denoised scan, from the files that ``unfog dmri denoise``
wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.checks.false_alarms import with_rate
from unfog.dmri.gradient_files import read_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.directions import Directions, directions_of, sticks
from unfog.dmri.workflows.report_checks import checks
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.extent import brightest
from unfog.files.nifti import Volume
from unfog.files.orientation import standing
from unfog.files.output import write_text
from unfog.files.slices import to_slices
from unfog.files.volumes import read_volume, written
from unfog.report import Line, Page, Row, colour, grey, with_sides
from unfog.report.figures import coloured

Array = NDArray[np.float32]
LEAD = "A diffusion scan before and after denoising, what was taken away, and what is read from it."
SLICES, STICKS = 5, 2  # axial slices shown, and those with directions drawn
# entries that a summary must have
FIGURES = {"noise", "components", "signal to noise", "residual autocorrelation", "warnings"}
# the files of unfog dmri denoise, and those of unfog dmri fod
MAPS = ("dwi_denoised", "residual", "noise", "expected_error", "mask")
CONES = ("direction", "cone95")


def write_report(folder: Path) -> dict[str, Any]:
    """Write ``report.html`` into a folder that ``unfog dmri denoise`` wrote.

    Args:
        folder: The folder; where the maps direction and cone95 lie in it too, cones are drawn.

    Returns:
        The path of the page, by the name "report".

    Raises:
        InputError: ``unfog dmri denoise`` did not write the folder.
    """
    required = [*(written(folder, name) for name in MAPS), folder / "summary.json"]
    missing = [path.name for path in required if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {missing[0]}; give a folder that unfog dmri denoise wrote."
        )
    after = read_volume(written(folder, "dwi_denoised"))
    bvals, bvecs = (folder / f"dwi_denoised.{kind}" for kind in ("bval", "bvec"))
    gradients = read_fsl(bvals, bvecs, after.affine, after.data.shape[3])
    cones = CONES if all(written(folder, name).is_file() for name in CONES) else ()
    volumes = {name: standing(read_volume(written(folder, name))) for name in (*MAPS, *cones)}
    page = report_page(volumes, gradients, _summary(folder / "summary.json"))
    return {"report": str(write_text(folder / "report.html", page.html(), overwrite=True))}


def _summary(path: Path) -> dict[str, Any]:
    """The summary of a denoised scan; `InputError` where the file holds something else."""
    try:
        summary = json_text.read(path, finite=False)
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON; denoise the scan again.") from error
    if not isinstance(summary, dict) or not summary.keys() >= FIGURES:
        raise InputError(
            f"{path.name} is not that of a denoised scan; give a folder that unfog dmri denoise "
            "wrote."
        )
    return summary


def report_page(
    volumes: Mapping[str, Volume], gradients: GradientTable, summary: Mapping[str, Any]
) -> Page:
    """The page about a denoised scan.

    Args:
        volumes: Upright volumes by the names of their files: ``MAPS``, and ``CONES`` if there are.
        gradients: The scan's table.
        summary: The contents of summary.json.

    Returns:
        The page.
    """
    page = Page("unfog dmri", LEAD)
    # Figures and warnings first.
    facts = [
        (f"{summary['noise']:.3g}", "the noise's standard deviation"),
        (str(summary["components"]), "components above it"),
    ]
    facts += [
        (f"{one['before']:.1f} to {one['after']:.1f}", f"signal to noise at b = {b}")
        for b, one in summary["signal to noise"].items()
    ]
    page.facts(facts)
    if summary["warnings"]:
        told = [with_rate(text) for text in summary["warnings"]]
        page.warning("What to know about this scan", *told)
    after, residual = volumes["dwi_denoised"], volumes["residual"].data
    before, inside = after.data + residual, volumes["mask"].data > 0
    planes = planes_of(inside)
    _signals(page, after.data, before, residual, gradients, summary["noise"], planes)
    _maps(page, volumes, planes)
    _directions(page, volumes, before, inside, gradients, planes)
    _shells(page, summary)
    _removed(page, residual, inside, gradients, summary)
    checks(page, before, after.data, volumes["noise"].data, inside, gradients, summary)
    provenance(page, summary)
    return page


def planes_of(inside: NDArray[np.bool_]) -> list[int]:
    """The numbers of at most ``SLICES`` axial slices spread over the head ``inside`` (X, Y, Z)."""
    filled = np.flatnonzero(inside.any((0, 1)))
    if not len(filled):
        return [0]
    quantiles = np.linspace(0.1, 0.9, SLICES)
    return sorted({int(filled[round(q * (len(filled) - 1))]) for q in quantiles})


def shells_with_b0(gradients: GradientTable) -> dict[str, NDArray[Any]]:
    """The numbers of the volumes at b = 0 and of each shell, by a title such as "b = 1000"."""
    shells = {f"b = {b:.0f}": volumes for b, volumes in gradients.shells().items()}
    return {"b = 0": np.flatnonzero(gradients.b0), **shells}


def cut(data: Array, planes: list[int]) -> list[Array]:
    """The axial slices numbered ``planes`` of (X, Y, Z[, ...]), each (rows, columns[, ...])."""
    slices = to_slices(data)
    return [slices[k, 0] for k in planes]


def _signals(
    page: Page,
    after: Array,
    before: Array,
    residual: Array,
    gradients: GradientTable,
    sigma: float,
    planes: list[int],
) -> None:
    """A volume of each shell before and after, and what was removed."""
    page.section(
        "The signal",
        "One volume of each shell, before and after, and the difference between them, which "
        "should look like noise. The patient's left (L) is on the left.",
    )
    wide = max(3 * sigma, 1e-6)
    for name, volumes in shells_with_b0(gradients).items():
        if not len(volumes):
            continue
        k = int(volumes[0])
        top = brightest(after[..., k]) or 1.0
        first, second = (
            Row(label, [with_sides(grey(x, 0, top)) for x in cut(data[..., k], planes)])
            for label, data in (("before", before), ("after", after))
        )
        page.flicker(first, second, f"{name}: white is {top:.3g}.")
        pictures = [with_sides(grey(x, -wide, wide)) for x in cut(residual[..., k], planes)]
        page.pictures(
            [Row("", pictures)],
            f"{name}: what was removed, from {-wide:.3g} (black) to {wide:.3g}.",
        )


def _maps(page: Page, volumes: Mapping[str, Volume], planes: list[int]) -> None:
    """The noise level and the expected error."""
    page.section("Noise and what is left of it")
    top = brightest(volumes["noise"].data) or 1.0
    rows = [
        Row(label, [with_sides(colour(x, 0, top)) for x in cut(volumes[key].data, planes)])
        for label, key in (("noise", "noise"), ("expected error", "expected_error"))
    ]
    page.pictures(
        rows,
        "The noise's standard deviation, and the error to expect of the denoised signal; bright "
        f"at {top:.3g}.",
    )


def _directions(
    page: Page,
    volumes: Mapping[str, Volume],
    before: Array,
    inside: NDArray[np.bool_],
    gradients: GradientTable,
    planes: list[int],
) -> None:
    """Directions before and after by a tensor fit, and sticks or cones over FA."""
    page.section(
        "Directions",
        "The principal direction by a tensor fit: red to the side, green to the front, blue "
        "upwards, as bright as the FA.",
    )
    after, shown = volumes["dwi_denoised"], inside & np.isin(np.arange(inside.shape[2]), planes)
    try:
        directions = [directions_of(data, shown, gradients) for data in (before, after.data)]
    except InputError as error:
        page.text(str(error))
        return
    first, second = (
        Row(label, list(map(coloured, cut(one.fa, planes), cut(one.axis, planes))))
        for label, one in zip(("before", "after"), directions, strict=True)
    )
    page.flicker(first, second, "Colour-coded directions in the mask.")
    # Sticks of the tensors, or cones of the posterior where their maps are there.
    has_cones = CONES[0] in volumes
    drawn = directions[1]
    if has_cones:
        drawn = Directions(volumes["direction"].data, drawn.fa, volumes["cone95"].data)
    middle = sorted({planes[(k + 1) * len(planes) // (STICKS + 1)] for k in range(STICKS)})
    grids = zip(*(cut(data, middle) for data in drawn.along(after.affine)), strict=True)
    wide = " in the middle of the cone that holds it with 95 %" if has_cones else ""
    page.glyphs(
        [sticks(*grid) for grid in grids],
        "directions over FA",
        f"Each voxel's direction{wide}, over FA (white is 1).",
    )


def _shells(page: Page, summary: Mapping[str, Any]) -> None:
    """A table of signal to noise by shell."""
    page.section(
        "Signal to noise",
        "Over the noise before, over the expected error after: medians over the mask of the mean "
        "over a shell's volumes.",
    )
    rows = [
        [f"b = {b}", *(f"{one[key]:.3g}" for key in ("signal", "before", "after"))]
        for b, one in summary["signal to noise"].items()
    ]
    if rows:
        page.table(["shell", "signal", "before", "after"], rows, "Signal to noise, shell by shell.")


def _removed(
    page: Page,
    residual: Array,
    inside: NDArray[np.bool_],
    gradients: GradientTable,
    summary: Mapping[str, Any],
) -> None:
    """The root mean square of the residual by volume, and its autocorrelation."""
    page.section(
        "What was removed",
        "A volume that stands out moved, dropped out, or holds signal that was taken for noise.",
    )
    size = [float(np.sqrt(np.mean(residual[inside, k] ** 2))) for k in range(len(gradients))]
    page.chart(
        [Line(list(range(len(gradients))), size, "removed")],
        "volume",
        "root mean square",
        "The size of what was removed from each volume.",
    )
    lags = summary["residual autocorrelation"]
    white = summary["residual autocorrelation of white noise"]
    rows = [
        [f"along {axis}", *(f"{value:+.3f}" for value in values)] for axis, values in lags.items()
    ]
    count = max(len(values) for values in lags.values())
    rows.append(["white noise", *[f"0 +- {white:.1g}"] * count])
    caption = (
        "How alike what was removed is in voxels so far apart: a little below 0 where "
        "noise is white, above where the scanner shared it."
    )
    page.table(["autocorrelation", *(f"{k + 1} apart" for k in range(count))], rows, caption)


def provenance(page: Page, summary: Mapping[str, Any]) -> None:
    """The section of a page that says how a result was made, from its summary.json."""
    elsewhere = ("warnings", "files", "signal to noise", "residual autocorrelation")
    shown = {key: value for key, value in summary.items() if key not in elsewhere}
    if shown.get("seed") is None:
        shown["seed"] = "none: nothing is drawn at random"
    page.provenance(shown, "The version, the prior by the SHA-256 of its weights, and all options.")
