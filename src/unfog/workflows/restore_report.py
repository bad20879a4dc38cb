"""``report.html`` of ``unfog restore``: what was measured, the mean, the uncertainty and a sample,
side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unfog.report import Page, Row, colour
from unfog.report.pictures import Picture, shown
from unfog.runs.restore import Restored

LEAD = (
    "The mean of what could have been measured so, how much it varies, and one draw of it. A "
    "diffusion model fills in what it has learned."
)
SHOWN, WIPED = 6, 3  # images of a stack, in the table and with a slider
COLUMNS = ("measured, by the adjoint", "mean", "standard deviation", "a sample")


def restoration_page(
    summary: Mapping[str, Any],
    start: Tensor,
    restored: Restored,
    trust: float,
    bounds: tuple[float, float],
) -> Page | None:
    """The page of a stack of grey or RGB images, or of planes of volumes; None for other numbers of
    channels.
    """
    if restored.mean.shape[1] not in (1, 3):
        return None
    spread = trust * restored.samples.std(1).mean(1, keepdim=True)
    start, mean, spread, sample = (
        planes(x) for x in (start, restored.mean, spread, restored.samples[:, 0])
    )
    page = Page("unfog restore", LEAD)
    page.facts(
        [
            (
                f"{summary['noise']:.3g}",
                "the noise's standard deviation"
                + (", estimated" if summary["noise estimated"] else ""),
            ),
            (
                f"{summary['data consistency']:.2f}",
                "root mean square misfit of the samples, in deviations of the noise: about 1 "
                "where they fit",
            ),
            (f"{summary['mean std']:.3g}", "mean standard deviation"),
        ]
    )
    if summary["warnings"]:
        page.warning("What to know about this file", *summary["warnings"])
    top = max(float(spread.max()), 1e-12)
    chosen = sorted({int(k) for k in np.linspace(0, len(mean) - 1, SHOWN).round()})
    _before_and_after(page, start, mean, chosen, bounds)
    rows = []
    for k in chosen:
        pictures: list[Picture] = [
            _stretched(start[k]),
            shown(mean[k], *bounds),
            colour(spread[k, 0], 0, top),
            shown(sample[k], *bounds),
        ]
        rows.append(Row(f"image {k}" if len(mean) > 1 else "", pictures))
    page.section("Restored")
    page.pictures(
        rows,
        f"The mean and the sample from {bounds[0]:g} to {bounds[1]:g} of the model's data, the "
        f"deviation from 0 to {top:.3g}.",
        COLUMNS,
    )
    page.provenance(
        {key: value for key, value in summary.items() if key not in ("warnings", "files")},
        "All of summary.json but its files.",
    )
    return page


def _before_and_after(
    page: Page, start: Tensor, mean: Tensor, chosen: Sequence[int], bounds: tuple[float, float]
) -> None:
    """The middle ones of the chosen images, which hold most, with a slider."""
    middle = list(chosen)[(len(chosen) - 1) // 3 :][:WIPED]
    page.section("Before and after")
    page.wipe(
        Row("measured", [_stretched(start[k]) for k in middle], ["measured"] * len(middle)),
        Row("mean", [shown(mean[k], *bounds) for k in middle], ["mean"] * len(middle)),
        f"{COLUMNS[0].capitalize()}, on the left of the line and the mean on its right; arrow "
        "keys move the slider too.",
    )


def planes(x: Tensor) -> Tensor:
    """A stack (n, channels, rows, columns) as it is; of volumes (n, channels, X, Y, Z) three planes
    each, upright.
    """
    if x.ndim == 4:
        return x
    depth = x.shape[-1]
    some = x[..., sorted({depth // 4, depth // 2, 3 * depth // 4})]
    return some.permute(0, 4, 1, 3, 2).flip(-2).flatten(0, 1)


def _stretched(image: Tensor) -> Picture:
    """An image (channels, rows, columns) of unknown units, from its 1st to its 99.5th
    percentile.
    """
    low, high = (float(v) for v in np.percentile(image.numpy(), (1, 99.5)))
    return shown(image, low, high)
