"""``report.html`` of ``unfog restore``: what was measured, the mean, the uncertainty and a sample, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unfog.evaluation.report import Page, Row, colour, grey
from unfog.evaluation.report.pictures import Picture
from unfog.systems.restore import Restored

LEAD = (
    "The mean of what could have been measured so, how much it varies, and one draw of it. A diffusion model fills in what it has learned."
)
SHOWN, WIPED = 6, 3  # images of a stack, in the table and with a slider
COLUMNS = ("measured, by the adjoint", "mean", "standard deviation", "a sample")


def restoration_page(
    summary: Mapping[str, Any], start: Tensor, restored: Restored, trust: float, bounds: tuple[float, float]
) -> Page | None:
    """The page of a stack of two-dimensional images of one channel; None for others."""
    if restored.mean.ndim != 4 or restored.mean.shape[1] != 1:
        return None
    page = Page("unfog restore", LEAD)
    page.facts(
        [
            (f"{summary['noise']:.3g}", "the noise's standard deviation" + (", estimated" if summary["noise estimated"] else "")),
            (
                f"{summary['data consistency']:.2f}",
                "root mean square misfit of the samples, in deviations of the noise: about 1 where they fit",
            ),
            (f"{summary['mean std']:.3g}", "mean standard deviation"),
        ]
    )
    if summary["warnings"]:
        page.warning("What to know about this file", *summary["warnings"])
    spread = trust * restored.samples.std(1)
    top = max(float(spread.max()), 1e-12)
    chosen = sorted({int(k) for k in np.linspace(0, len(restored.mean) - 1, SHOWN).round()})
    _before_and_after(page, start, restored.mean, chosen, bounds)
    rows = []
    for k in chosen:
        mean, std, sample = (x[0].numpy() for x in (restored.mean[k], spread[k], restored.samples[k, 0]))
        pictures: list[Picture] = [_stretched(start[k, 0]), grey(mean, *bounds), colour(std, 0, top), grey(sample, *bounds)]
        rows.append(Row(f"image {k}" if len(restored.mean) > 1 else "", pictures))
    page.section("Restored")
    page.pictures(
        rows,
        f"The mean and the sample from {bounds[0]:g} to {bounds[1]:g} of the model's data, the deviation from 0 to {top:.3g}.",
        COLUMNS,
    )
    page.provenance(
        {key: value for key, value in summary.items() if key not in ("warnings", "files")}, "All of summary.json but its files."
    )
    return page


def _before_and_after(page: Page, start: Tensor, mean: Tensor, chosen: Sequence[int], bounds: tuple[float, float]) -> None:
    """The middle ones of the chosen images, which hold most, with a slider."""
    shown = list(chosen)[(len(chosen) - 1) // 3 :][:WIPED]
    page.section("Before and after")
    page.wipe(
        Row("measured", [_stretched(start[k, 0]) for k in shown], ["measured"] * len(shown)),
        Row("mean", [grey(mean[k, 0].numpy(), *bounds) for k in shown], ["mean"] * len(shown)),
        f"{COLUMNS[0].capitalize()}, on the left of the line and the mean on its right; arrow keys move the slider too.",
    )


def _stretched(image: Tensor) -> Picture:
    """An image of unknown units, from its 1st to its 99.5th percentile."""
    low, high = (float(v) for v in np.percentile(image.numpy(), (1, 99.5)))
    return grey(image.numpy(), low, high)
