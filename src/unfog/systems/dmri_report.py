"""``unfog dmri report``: one page about a denoised scan, from the files that ``unfog dmri denoise`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.nifti import Volume, read_nifti
from unfog.data.slices import to_slices
from unfog.data.volumes import standing
from unfog.dmri.gradients import GradientTable, read_fsl
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError
from unfog.evaluation.report import Line, Page, Row, colour, grey
from unfog.evaluation.report.pictures import Picture

Array = NDArray[np.float32]
LEAD = "A diffusion scan before and after denoising, what was taken away, and what is read from it."
SLICES = 5
FIGURES = {"noise", "components", "signal to noise at b0", "warnings"}  # of a summary


def write_report(folder: Path) -> dict[str, Any]:
    """``report.html`` in ``folder``, written whole or not at all."""
    names = ("dwi_denoised", "residual", "noise", "expected_error", "mask")
    missing = [name for name in (*(f"{n}.nii.gz" for n in names), "summary.json") if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {missing[0]}; give a folder that unfog dmri denoise wrote.")
    after = read_nifti(folder / "dwi_denoised.nii.gz")
    gradients = read_fsl(folder / "dwi_denoised.bval", folder / "dwi_denoised.bvec", after.affine, after.data.shape[3])
    volumes = {name: standing(read_nifti(folder / f"{name}.nii.gz")) for name in names}
    return {"report": str(report_page(volumes, gradients, _summary(folder / "summary.json")).write(folder / "report.html"))}


def _summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON; denoise the scan again.") from error
    if not isinstance(summary, dict) or not summary.keys() >= FIGURES:
        raise InputError(f"{path.name} is not that of a denoised scan; give a folder that unfog dmri denoise wrote.")
    return summary


def report_page(volumes: Mapping[str, Volume], gradients: GradientTable, summary: Mapping[str, Any]) -> Page:
    """The page of upright volumes, by their names, and the summary."""
    page = Page("unfog dmri", LEAD)
    facts = [(f"{summary['noise']:.3g}", "the noise's standard deviation"), (str(summary["components"]), "components above it")]
    if summary["signal to noise at b0"]:
        facts.append((f"{summary['signal to noise at b0']:.1f}", "signal to noise at b = 0"))
    page.facts(facts)
    if summary["warnings"]:
        page.warning("What to know about this scan", *summary["warnings"])
    after, residual = volumes["dwi_denoised"], volumes["residual"].data
    before, inside = after.data + residual, volumes["mask"].data > 0
    planes = _planes(inside)
    _signals(page, after, before, residual, gradients, summary["noise"], planes)
    _maps(page, volumes, planes)
    _directions(page, after, before, inside, gradients, planes)
    _spectrum(page, residual, inside, gradients)
    page.section("How this was made")
    page.text(" · ".join(f"{key}: {value}" for key, value in summary.items() if key not in ("warnings", "files")), quiet=True)
    return page


def _planes(inside: NDArray[np.bool_]) -> list[int]:
    """Axial slices spread over the head."""
    held = np.flatnonzero(inside.any((0, 1)))
    return sorted({int(held[round(q * (len(held) - 1))]) for q in np.linspace(0.1, 0.9, SLICES)}) if len(held) else [0]


def _cut(data: Array, planes: list[int]) -> list[Array]:
    """Axial slices of (X, Y, Z)."""
    slices = to_slices(data)
    return [slices[k, 0] for k in planes]


def _signals(page: Page, after: Volume, before: Array, residual: Array, gradients: GradientTable, sigma: float, planes: list[int]) -> None:
    page.section("The signal", "One volume of each shell, before and after, and the difference between them, which should look like noise.")
    shown = {"b = 0": np.flatnonzero(gradients.b0), **{f"b = {b:.0f}": volumes for b, volumes in gradients.shells().items()}}
    for name, volumes in shown.items():
        if len(volumes):
            k = int(volumes[0])
            top = float(np.percentile(after.data[..., k], 99.5)) or 1.0
            rows = [
                Row(label, [grey(x, 0, top) for x in _cut(data[..., k], planes)])
                for label, data in (("before", before), ("after", after.data))
            ]
            wide = max(3 * sigma, 1e-6)
            rows.append(Row("removed", [grey(x, -wide, wide) for x in _cut(residual[..., k], planes)]))
            page.pictures(rows, f"{name}: white is {top:.3g}; removed, from {-wide:.3g} (black) to {wide:.3g}.")


def _maps(page: Page, volumes: Mapping[str, Volume], planes: list[int]) -> None:
    page.section("Noise and what is left of it")
    noise = volumes["noise"]
    top = float(np.percentile(noise.data, 99.5)) or 1.0
    rows = [
        Row(label, [colour(x, 0, top) for x in _cut(volumes[key].data, planes)])
        for label, key in (("noise", "noise"), ("expected error", "expected_error"))
    ]
    page.pictures(rows, f"The noise's standard deviation, and the error to expect of the denoised signal; bright at {top:.3g}.")


def _directions(page: Page, after: Volume, before: Array, inside: NDArray[np.bool_], gradients: GradientTable, planes: list[int]) -> None:
    page.section(
        "Directions", "The principal direction by a tensor fit: red to the side, green to the front, blue upwards, as bright as the FA."
    )
    try:
        rows = [Row(label, _coloured(data, inside, gradients, planes)) for label, data in (("before", before), ("after", after.data))]
    except InputError as error:
        page.text(str(error))
    else:
        page.pictures(rows, "Colour-coded directions in the mask.")


def _coloured(data: Array, inside: NDArray[np.bool_], gradients: GradientTable, planes: list[int]) -> list[Picture]:
    found = fit_tensors(data[inside], gradients)
    maps = np.zeros((*inside.shape, 3), np.float32)
    maps[inside] = np.abs(found.direction) * found.fa[:, None]
    channels = [_cut(maps[..., axis], planes) for axis in range(3)]
    return [np.rint(255 * np.stack(rgb, -1).clip(0, 1)).astype(np.uint8) for rgb in zip(*channels, strict=True)]


def _spectrum(page: Page, residual: Array, inside: NDArray[np.bool_], gradients: GradientTable) -> None:
    page.section(
        "What was removed, volume by volume", "A volume that stands out moved, dropped out, or holds signal that was taken for noise."
    )
    size = np.sqrt(np.mean(residual[inside] ** 2, axis=0)).tolist()
    page.chart(
        [Line(list(range(len(gradients))), size, "removed")], "volume", "root mean square", "The size of what was removed from each volume."
    )
