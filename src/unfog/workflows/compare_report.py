"""The page of ``unfog compare``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfog.report import Line, Page, Row
from unfog.report.pictures import shown
from unfog.runs.record import Record
from unfog.workflows.compare_summary import FIGURES, Judged
from unfog.workflows.evaluate_report import NAMES
from unfog.workflows.restore_report import planes
from unfog.workflows.run_table import curves

LEAD = (
    "Systems on the same data, for the same CPU minutes, over the same seeds, judged in the same "
    "features. A spread is that of the seeds; the floor is what real samples score."
)
Runs = Mapping[str, Judged]
Systems = Mapping[str, Mapping[str, Any]]
COLUMNS = 10  # pictures of a system
CONTROLS = {
    "classes": "The share of samples that a network trained on real ones takes for the class that "
    "was asked for",
    "masks": "The mean Dice of the mask that was asked for and what a network trained on real "
    "samples finds",
}


def compare_page(summary: Mapping[str, Any], runs: Runs, pictures: Mapping[str, Path]) -> Page:
    """The page of a comparison.

    Args:
        summary: What the command prints.
        runs: Record and figures of each run, by system.
        pictures: A file of samples of each system, .npy in natural units.

    Returns:
        The page: quality and diversity, control, cost, stability, loss curves.
    """
    page, systems = Page("unfog compare", LEAD), summary["systems"]
    _quality(page, systems)
    _shown(page, pictures)
    _control(page, systems)
    _sampling(page, systems, summary["at equal sampling seconds"])
    _stability(page, systems)
    for system, found in runs.items():
        records: list[Record] = [record for record, _ in found]
        if records:
            page.section(f"Loss of {system}")
            page.chart(curves(records), "step", "loss", f"{system}: one curve a seed.")
    rest = {k: v for k, v in summary.items() if k not in ("systems", "at equal sampling seconds")}
    page.provenance(rest, "The comparison of this page.")
    return page


def _quality(page: Page, systems: Systems) -> None:
    there = [name for name in FIGURES if any(name in one for one in systems.values())]
    page.section("Quality and diversity")
    page.table(
        ["", *(NAMES[name] for name in there)],
        [[system, *(_cell(one.get(name)) for name in there)] for system, one in systems.items()],
        "Mean over the seeds, its spread, and the floor.",
    )
    counted = {system: one["modes"] for system, one in systems.items() if "modes" in one}
    if counted:
        names = [*next(iter(counted.values()))]
        page.table(
            ["", *names],
            [[system, *(_cell(one[n]) for n in names)] for system, one in counted.items()],
            "Modes that a sample lies in, within three deviations; the share of such samples; and "
            "the divergence of their spread over the modes from an even one, in nats.",
        )


def _shown(page: Page, pictures: Mapping[str, Path]) -> None:
    """Samples of the first seed of each system, where they are pictures, all on one range."""
    drawn = {name: torch.from_numpy(np.load(file)) for name, file in pictures.items()}
    if not drawn or any(x.ndim != 4 or x.shape[1] not in (1, 3) for x in drawn.values()):
        return
    low = min(float(x.quantile(0.001)) for x in drawn.values())
    high = max(float(x.quantile(0.999)) for x in drawn.values())
    page.section("Samples")
    page.pictures(
        [
            Row(name, [shown(p, low, high) for p in planes(x)[:COLUMNS]])
            for name, x in drawn.items()
        ],
        f"Of the first seed, not chosen; from {low:g} to {high:g}.",
    )


def _control(page: Page, systems: Systems) -> None:
    for kind, what in CONTROLS.items():
        told = {system: one[kind] for system, one in systems.items() if kind in one}
        if not told:
            continue
        names = list(dict.fromkeys(name for one in told.values() for name in one))
        page.section(kind.capitalize())
        page.table(
            ["", *names],
            [[system, *(_cell(one.get(n)) for n in names)] for system, one in told.items()],
            f"{what}, by the scale of guidance; and of real samples.",
        )


def _sampling(page: Page, systems: Systems, equal: Mapping[str, Any]) -> None:
    lines = [
        Line(
            [math.log10(row["seconds a sample"]) for row in one["by steps"]],
            [row["distance"]["mean"] for row in one["by steps"]],
            system,
        )
        for system, one in systems.items()
        if one.get("by steps")
    ]
    if not lines:
        return
    measured = NAMES[next(one["distance"] for one in systems.values() if "distance" in one)]
    page.section("What a second of sampling buys")
    page.chart(
        lines,
        "log10 of the CPU seconds of a sample",
        measured,
        "By sampler steps; a model without steps is one point.",
        log=True,
    )
    page.table(
        ["within the seconds of", "seconds", *systems],
        [
            [
                system,
                f"{one['seconds a sample']:.2g}",
                *(_number(one["distance"].get(name)) for name in systems),
            ]
            for system, one in equal.items()
        ],
        f"The least {measured} of each system among its settings that take no longer.",
    )


def _stability(page: Page, systems: Systems) -> None:
    page.section("Stability and cost")
    columns = ["steps", "CPU seconds a sample", "skipped steps", "collapsed"]
    seconds = ["CPU seconds of training", "of these before it"]
    seconds = [name for name in seconds if any(name in one for one in systems.values())]
    page.table(
        ["", "runs judged", "runs failed", *seconds, *columns],
        [
            [
                system,
                str(one["runs"]),
                str(one["failed"]),
                *(_cell(one.get(name)) for name in seconds),
                *(_number(one.get(c)) for c in columns),
            ]
            for system, one in systems.items()
        ],
        "A step is skipped where loss or gradient is not finite, and a run fails after ten in a "
        "row; it has collapsed where its coverage is below a tenth of real samples'. Before it: "
        "the autoencoder of its latent space, and the encoding of the data.",
    )


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    spread = "" if one["spread"] is None else f" ± {one['spread']:.2g}"
    return f"{one['mean']:.3g}{spread}" + (f" ({one['floor']:.3g})" if "floor" in one else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
