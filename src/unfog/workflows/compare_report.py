"""The table and the page of ``unfog compare``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unfog.report import Page
from unfog.runs.record import Record
from unfog.workflows.evaluate_report import NAMES
from unfog.workflows.run_table import curves

LEAD = (
    "Systems on the same data, for the same minutes, over the same seeds, judged in the same "
    "features. A spread is that of the seeds; the floor is what real samples score."
)
Runs = Mapping[str, Sequence[tuple[Record, Mapping[str, Any]]]]
FIGURES = ("frechet", "kid", "precision", "recall", "coverage")


def summarised(runs: Sequence[tuple[Record, Mapping[str, Any]]]) -> dict[str, Any]:
    """The figures of a system's runs: mean and deviation over the seeds.

    Args:
        runs: Record and figures of each.

    Returns:
        {"mean", "spread", "floor"} of each figure; seconds, steps and skipped steps.
    """
    found: dict[str, Any] = {"runs": len(runs)}
    if not runs:
        return found
    for name in FIGURES:
        rows = [one["figures"][name] for _, one in runs if name in one["figures"]]
        if rows:
            mean, spread = mean_and_spread([row["value"] for row in rows])
            floor, _ = mean_and_spread([row["floor"] for row in rows])
            found[name] = {"mean": mean, "spread": spread, "floor": floor}
    found["CPU seconds a sample"] = mean_and_spread([one["seconds a sample"] for _, one in runs])[0]
    found["CPU seconds of training"] = mean_and_spread([one["cost"]["cpu"] for _, one in runs])[0]
    found["steps"] = mean_and_spread([record.step for record, _ in runs])[0]
    found["skipped steps"] = sum(record.skipped for record, _ in runs)
    return found


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the deviation (n - 1); nan of a single value.

    >>> mean_and_spread([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def compare_page(summary: Mapping[str, Any], runs: Runs) -> Page:
    """The page of a comparison.

    Args:
        summary: What the command prints.
        runs: Record and figures of each run, by system.

    Returns:
        The page: quality and diversity, stability, cost, loss curves.
    """
    page, systems = Page("unfog compare", LEAD), summary["systems"]
    there = [name for name in FIGURES if any(name in one for one in systems.values())]
    page.section("Quality and diversity")
    page.table(
        ["", *(NAMES[name] for name in there)],
        [[system, *(_cell(one.get(name)) for name in there)] for system, one in systems.items()],
        "Mean over the seeds, its spread, and the floor.",
    )
    page.section("Stability and cost")
    columns = ["CPU seconds of training", "steps", "CPU seconds a sample", "skipped steps"]
    page.table(
        ["", "runs judged", "runs failed", *columns],
        [
            [system, str(one["runs"]), str(one["failed"]), *(_number(one.get(c)) for c in columns)]
            for system, one in systems.items()
        ],
        "A step is skipped where loss or gradient is not finite, and a run fails after ten in a "
        "row.",
    )
    for system, found in runs.items():
        records = [record for record, _ in found]
        if records:
            page.section(f"Loss of {system}")
            page.chart(curves(records), "step", "loss", f"{system}: one curve a seed.")
    rest = {k: v for k, v in summary.items() if k != "systems"}
    page.provenance(rest, "The comparison of this page.")
    return page


def _cell(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "-"
    return f"{one['mean']:.3g} ± {one['spread']:.2g} ({one['floor']:.3g})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
