"""``report.html`` of ``unfog restore``: what was measured, the mean, the uncertainty and a sample,
side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.files.extent import brightest
from unfog.report import Page, Row, colour, figures
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
    maps: Mapping[str, Tensor] | None = None,
) -> Page | None:
    """The page of a restored stack of grey or RGB images, or of volumes.

    Args:
        summary: The contents of summary.json.
        start: The measurement as images, (n, channels, *space).
        restored: Mean and samples.
        trust: The factor on the standard deviation of the samples.
        bounds: The smallest and largest value of the model's data.
        maps: What else was found, by name, (n, 1, *space) each.

    Returns:
        The page, or None where there are neither 1 nor 3 channels.
    """
    if restored.mean.shape[1] not in (1, 3):
        return None
    spread = trust * restored.samples.std(1).mean(1, keepdim=True)
    start, mean, spread, sample = (
        planes(x) for x in (start, restored.mean, spread, restored.samples[:, 0])
    )
    numbers = sorted({int(k) for k in np.linspace(0, len(mean) - 1, SHOWN).round()})
    page = Page("unfog restore", LEAD)
    _facts(page, summary)
    _before_and_after(page, start, mean, numbers, bounds)
    more = {name: planes(x) for name, x in (maps or {}).items()}
    _side_by_side(page, start, mean, spread, sample, numbers, bounds, more)
    page.provenance(
        {key: value for key, value in summary.items() if key not in ("warnings", "files")},
        "All of summary.json but its files.",
    )
    return page


def _facts(page: Page, summary: Mapping[str, Any]) -> None:
    """The noise, the residual, the misfit, the deviation and the warnings."""
    estimated = ", estimated" if summary["noise estimated"] else ""
    residual = (
        "root mean square residual of the samples, in deviations of the noise: about 1 where they "
        "fit"
    )
    misfit = summary.get("misfit")
    error = "misfit: the mean's error over what the prior states, about 1 for images like its own"
    page.facts(
        [
            (f"{summary['noise']:.3g}", f"the noise's standard deviation{estimated}"),
            (f"{summary['data consistency']:.2f}", residual),
            *([] if misfit is None else [(f"{misfit:.2f}", error)]),
            (f"{summary['mean std']:.3g}", "mean standard deviation"),
        ]
    )
    if summary["warnings"]:
        page.warning("What to know about this file", *summary["warnings"])


def _before_and_after(
    page: Page, start: Tensor, mean: Tensor, numbers: Sequence[int], bounds: tuple[float, float]
) -> None:
    """The middle ones of the numbered images, which hold most, with a slider."""
    middle = list(numbers)[(len(numbers) - 1) // 3 :][:WIPED]
    page.section("Before and after")
    page.wipe(
        Row("measured", [_stretched(start[k]) for k in middle], ["measured"] * len(middle)),
        Row("mean", [shown(mean[k], *bounds) for k in middle], ["mean"] * len(middle)),
        f"{COLUMNS[0].capitalize()}, on the left of the line and the mean on its right; arrow "
        "keys move the slider too.",
    )


def _side_by_side(
    page: Page,
    start: Tensor,
    mean: Tensor,
    spread: Tensor,
    sample: Tensor,
    numbers: Sequence[int],
    bounds: tuple[float, float],
    maps: Mapping[str, Tensor],
) -> None:
    """A row for each of the numbered images, with the columns of ``COLUMNS`` and those of the
    maps.
    """
    top = max(float(spread.max()), 1e-12)
    rows = []
    for k in numbers:
        pictures: list[Picture] = [
            _stretched(start[k]),
            shown(mean[k], *bounds),
            colour(spread[k, 0], 0, top),
            shown(sample[k], *bounds),
            *(colour(x[k, 0], float(x.min()), float(x.max())) for x in maps.values()),
        ]
        rows.append(Row(f"image {k}" if len(mean) > 1 else "", pictures))
    page.section("Restored")
    scales = "".join(
        f" The {name} from {x.min():.3g} to {x.max():.3g}." for name, x in maps.items()
    )
    page.pictures(
        rows,
        f"The mean and the sample from {bounds[0]:g} to {bounds[1]:g} of the model's data, the "
        f"deviation from 0 to {top:.3g}.{scales}",
        (*COLUMNS, *maps),
    )


def planes(x: Tensor) -> Tensor:
    """The planes to show of a stack, (n, channels, rows, columns): images as they are, three planes
    of each volume (n, channels, X, Y, Z), upright.
    """
    return torch.from_numpy(np.ascontiguousarray(figures.planes(x.numpy(force=True))))


def _stretched(image: Tensor) -> Picture:
    """The picture of an image (channels, rows, columns) of unknown units, shown from its 1st to
    the 99.5th of what is not empty.
    """
    low, high = float(np.percentile(image.numpy(), 1)), brightest(image.numpy())
    return shown(image, low, high)
