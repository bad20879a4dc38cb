"""``unfog dmri report``: a page about a denoised scan, from the files that ``unfog dmri denoise``
wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradient_files import read_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.directions import Directions, coloured, directions_of, sticks
from unfog.errors import InputError
from unfog.files.nifti import Volume, read_nifti
from unfog.files.orientation import standing
from unfog.files.output import write_text
from unfog.files.slices import to_slices
from unfog.report import Line, Page, Row, colour, grey

Array = NDArray[np.float32]
LEAD = "A diffusion scan before and after denoising, what was taken away, and what is read from it."
SLICES, STICKS = 5, 2  # axial slices shown, and those with directions drawn
# entries that a summary must have
FIGURES = {"noise", "components", "signal to noise", "residual autocorrelation", "warnings"}
MAPS, CONES = (
    ("dwi_denoised", "residual", "noise", "expected_error", "mask"),
    ("direction", "cone95"),
)


def write_report(folder: Path) -> dict[str, Any]:
    """Write ``report.html`` in ``folder``, whole or not at all; with cones where the maps direction
    and cone95 lie there too.

    Returns the path by the name "report". Raises `InputError` for a folder that ``unfog dmri
    denoise`` did not write.
    """
    missing = [
        name
        for name in (*(f"{n}.nii.gz" for n in MAPS), "summary.json")
        if not (folder / name).is_file()
    ]
    if missing:
        raise InputError(
            f"{folder} lacks {missing[0]}; give a folder that unfog dmri denoise wrote."
        )
    after = read_nifti(folder / "dwi_denoised.nii.gz")
    gradients = read_fsl(
        folder / "dwi_denoised.bval",
        folder / "dwi_denoised.bvec",
        after.affine,
        after.data.shape[3],
    )
    cones = CONES if all((folder / f"{name}.nii.gz").is_file() for name in CONES) else ()
    volumes = {name: standing(read_nifti(folder / f"{name}.nii.gz")) for name in (*MAPS, *cones)}
    page = report_page(volumes, gradients, _summary(folder / "summary.json"))
    return {"report": str(write_text(folder / "report.html", page.html(), overwrite=True))}


def _summary(path: Path) -> dict[str, Any]:
    """The summary of a denoised scan; `InputError` where the file holds something else."""
    try:
        summary = json.loads(path.read_text("utf-8"))
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
        page.warning("What to know about this scan", *summary["warnings"])
    after, residual = volumes["dwi_denoised"], volumes["residual"].data
    before, inside = after.data + residual, volumes["mask"].data > 0
    planes = planes_of(inside)
    _signals(page, after.data, before, residual, gradients, summary["noise"], planes)
    _maps(page, volumes, planes)
    _directions(page, volumes, before, inside, gradients, planes)
    _shells(page, summary)
    _removed(page, residual, inside, gradients, summary)
    provenance(page, summary)
    return page


def planes_of(inside: NDArray[np.bool_]) -> list[int]:
    """The numbers of ``SLICES`` axial slices spread over the head ``inside`` (X, Y, Z)."""
    held = np.flatnonzero(inside.any((0, 1)))
    return (
        sorted({int(held[round(q * (len(held) - 1))]) for q in np.linspace(0.1, 0.9, SLICES)})
        if len(held)
        else [0]
    )


def cut(data: Array, planes: list[int]) -> list[Array]:
    """The axial slices ``planes`` of (X, Y, Z), each (rows, columns)."""
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
        "should look like noise.",
    )
    shown = {
        "b = 0": np.flatnonzero(gradients.b0),
        **{f"b = {b:.0f}": volumes for b, volumes in gradients.shells().items()},
    }
    for name, volumes in shown.items():
        if len(volumes):
            k = int(volumes[0])
            top, wide = float(np.percentile(after[..., k], 99.5)) or 1.0, max(3 * sigma, 1e-6)
            first, second = (
                Row(label, [grey(x, 0, top) for x in cut(data[..., k], planes)])
                for label, data in (("before", before), ("after", after))
            )
            page.flicker(first, second, f"{name}: white is {top:.3g}.")
            removed = Row("", [grey(x, -wide, wide) for x in cut(residual[..., k], planes)])
            page.pictures(
                [removed], f"{name}: what was removed, from {-wide:.3g} (black) to {wide:.3g}."
            )


def _maps(page: Page, volumes: Mapping[str, Volume], planes: list[int]) -> None:
    """The noise level and the expected error."""
    page.section("Noise and what is left of it")
    top = float(np.percentile(volumes["noise"].data, 99.5)) or 1.0
    rows = [
        Row(label, [colour(x, 0, top) for x in cut(volumes[key].data, planes)])
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
    has_cones = CONES[0] in volumes
    drawn = (
        Directions(volumes["direction"].data, directions[1].fa, volumes["cone95"].data)
        if has_cones
        else directions[1]
    )
    middle = sorted({planes[(k + 1) * len(planes) // (STICKS + 1)] for k in range(STICKS)})
    grids = zip(*(cut(map_, middle) for map_ in drawn.along(after.affine)), strict=True)
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
    """The size of what was removed by volume, and its autocorrelation."""
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
    lags, white = (
        summary["residual autocorrelation"],
        summary["residual autocorrelation of white noise"],
    )
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
    values = shown | (
        {"seed": "none: nothing is drawn at random"} if shown.get("seed") is None else {}
    )
    page.provenance(
        values, "The version, the prior by the SHA-256 of its weights, and all options."
    )
