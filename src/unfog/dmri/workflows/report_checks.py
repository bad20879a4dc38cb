"""The part of the page about a denoised scan that a scanner's physicist asks for: what was removed
by shell, slice and volume, the scan's stability, and what was corrected and what was not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.checks.dropout import dropped_slices
from unfog.dmri.checks.residuals import by_shell, by_slice, histogram, over_noise, stability
from unfog.dmri.gradients import GradientTable
from unfog.report import Line, Page, Row, colour

Array = NDArray[Any]
LEFT_ALONE = "no: correct it after denoising"
MOST_NAMED = 20  # dropped slices in the table
BRIGHT = 2.0  # times the noise, of the map of slices and volumes


def checks(
    page: Page,
    before: Array,
    after: Array,
    sigma: Array,
    inside: NDArray[np.bool_],
    gradients: GradientTable,
    summary: Mapping[str, Any],
) -> None:
    """Add the sections to a page.

    Args:
        page: The page.
        before: (X, Y, Z, volumes), as acquired.
        after: (X, Y, Z, volumes), denoised.
        sigma: (X, Y, Z), the noise.
        inside: (X, Y, Z), the head.
        gradients: The scan's table.
        summary: The contents of summary.json.
    """
    removed = over_noise(before - after, sigma, inside)
    page.section(
        "What was removed, over the noise",
        "Of mean 0 and deviation 1 where it is all of a strong signal's noise and nothing else; "
        "weak signals' magnitudes vary less, and a denoiser leaves a little of the noise.",
    )
    rows = [
        [f"b = {b}", f"{one.mean:+.3f}", f"{one.deviation:.3f}"]
        for b, one in by_shell(removed, gradients).items()
    ]
    page.table(["shell", "mean", "deviation"], rows, "What was removed over the noise, by shell.")
    _by_slice(page, removed, inside)
    _histogram(page, removed)
    _steady(page, before, after, inside, gradients, summary)
    _corrected(page, summary)


def _by_slice(page: Page, removed: Array, inside: NDArray[np.bool_]) -> None:
    """The map of slices and volumes: a slice that dropped out or moved is a bright dash."""
    sizes = by_slice(removed, inside)
    filled = np.flatnonzero(inside.any((0, 1)))
    if not len(filled):
        return
    shown = sizes[filled[0] : filled[-1] + 1][::-1]
    # At least a few pixels a cell, or a browser blurs them.
    shown = np.kron(shown, np.ones((max(1, 160 // len(shown)), max(1, 480 // shown.shape[1]))))
    page.pictures(
        [Row("", [colour(shown, 0, BRIGHT)])],
        f"Axial slices {filled[0]} (bottom) to {filled[-1]} (top) by volumes 0 (left) to "
        f"{removed.shape[1] - 1} (right), counted from 0: the root mean square of what was removed "
        f"over the noise, bright at {BRIGHT:g}.",
        largest=640,
    )


def _histogram(page: Page, removed: Array) -> None:
    """The histogram beside the normal density of the same deviation."""
    middles, density = histogram(removed)
    deviation = float(removed.std()) or 1.0
    normal = np.exp(-0.5 * (middles / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
    page.chart(
        [
            Line(middles.tolist(), normal.tolist(), "normal, of its deviation", faint=True),
            Line(middles.tolist(), density.tolist(), "removed"),
        ],
        "over the noise",
        "density",
        "All that was removed in the head, over the noise.",
    )


def _steady(
    page: Page,
    before: Array,
    after: Array,
    inside: NDArray[np.bool_],
    gradients: GradientTable,
    summary: Mapping[str, Any],
) -> None:
    """Drift and steadiness of b = 0, the slices that dropped out, and groups of volumes."""
    found = stability(before, after, inside, gradients)
    dropped = dropped_slices(before, gradients, inside)
    named = [f"{'xyz'[axis]} {k} of volume {volume}" for axis, k, volume in dropped[:MOST_NAMED]]
    named += ["..."] * (len(dropped) > MOST_NAMED)
    few = "too few volumes at b = 0, or all at one end"
    ratios = few
    if found.before is not None and found.after is not None:
        ratios = f"{found.before:.1f} before, {found.after:.1f} after"
    page.section("The scan's stability", "As acquired; denoising corrects none of it.")
    rows = [
        ["drift of b = 0 over the scan", few if found.drift is None else f"{found.drift:+.2f} %"],
        ["mean over deviation of b = 0, median over the head", ratios],
        [
            "slices that dropped out",
            ", ".join(named) + ", ..." * (len(dropped) > MOST_NAMED) or "none",
        ],
        ["groups of volumes, of one phase encoding each", _groups(summary)],
    ]
    page.table(["", ""], rows, "Slices and volumes are counted from 0, along the axes of the page.")


def _groups(summary: Mapping[str, Any]) -> str:
    """The sizes of the groups of volumes, and who told them."""
    if "volume groups" not in summary:
        return "one, as far as the data tell"
    groups = summary["volume groups"]
    sizes = ", ".join(str(len(volumes)) for volumes in groups["volumes"])
    return f"{sizes} volumes, told by {groups['told by']}"


def _by_slice_level(summary: Mapping[str, Any]) -> str:
    """Whether the level by slice was divided out, and how much it differs."""
    if "noise by slice" not in summary:
        return "not asked, or too few slices to tell"
    found = summary["noise by slice"]
    size = f"by {100 * found['spread']:.1f} % along {found['axis']}"
    return f"yes: it differs {size}" if found["divided out"] else f"no: it differs {size} only"


def _corrected(page: Page, summary: Mapping[str, Any]) -> None:
    """What was corrected, and what was not."""
    bias = "yes" if summary.get("bias removed") else "no"
    rows = [
        ["noise", "yes"],
        ["bias of magnitudes (Rician or chi)", bias],
        ["phase", f"yes, by {summary['phase']}" if "phase" in summary else "no phase was given"],
        ["noise that varies in space", f"by {summary.get('noise map', 'its level in the scan')}"],
        ["noise that differs from slice to slice", _by_slice_level(summary)],
        *([what, LEFT_ALONE] for what in ("Gibbs ringing", "motion", "eddy currents")),
        *([what, LEFT_ALONE] for what in ("distortion by susceptibility", "drift", "bias field")),
        ["slices that dropped out", "no: they are left as they are"],
    ]
    page.section("What was corrected, and what was not")
    page.table(["", ""], rows, "Denoising comes first; the order of a pipeline follows from it.")
