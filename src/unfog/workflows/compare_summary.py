"""The table of ``unfog compare``: what was measured of each run, over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unfog.runs.record import Record

Measured = Mapping[str, Any]
Judged = Sequence[tuple[Record, Measured]]
FIGURES = ("frechet", "kid", "sliced wasserstein", "precision", "recall", "density", "coverage")
COLLAPSED = 0.1  # a run whose coverage is below this share of real samples' has collapsed


def summarised(runs: Judged) -> dict[str, Any]:
    """The figures of a system's runs: mean and deviation over the seeds.

    Args:
        runs: Record and figures of each.

    Returns:
        {"mean", "spread", "floor"} of each figure; modes, classes and masks where there are some;
        a distance by sampler steps; seconds, of training those for a run that it begins from too,
        steps, skipped steps, and runs whose coverage is below a tenth of the floor's.
    """
    found: dict[str, Any] = {"runs": len(runs)}
    if not runs:
        return found
    rows = [one for _, one in runs]
    for name in FIGURES:
        values = [one["figures"][name] for one in rows if name in one["figures"]]
        if values:
            floor, _ = mean_and_spread([row["floor"] for row in values])
            found[name] = {**_over([row["value"] for row in values]), "floor": floor}
    if "modes" in rows[0]:
        found["modes"] = {
            name: {
                **_over([one["modes"][name] for one in rows]),
                "floor": rows[0]["modes of real samples"][name],
            }
            for name in rows[0]["modes"]
        }
    for kind in [kind for kind in ("classes", "masks") if kind in rows[0]]:
        found[kind] = {name: _over([one[kind][name] for one in rows]) for name in rows[0][kind]}
    found |= {"distance": rows[0]["distance"], "by steps": _by_steps(rows)}
    found["CPU seconds a sample"] = mean_and_spread([one["seconds a sample"] for one in rows])[0]
    found["CPU seconds of training"] = _over([one["cost"]["cpu"] for one in rows])
    if "first" in rows[0]["cost"]:
        found["of these before it"] = _over([one["cost"]["first"] for one in rows])
    found["steps"] = mean_and_spread([record.step for record, _ in runs])[0]
    found["skipped steps"] = sum(record.skipped for record, _ in runs)
    found["collapsed"] = sum(_collapsed(one["figures"]["coverage"]) for one in rows)
    return found


def at_seconds(systems: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """The distances at equal seconds of sampling.

    Args:
        systems: What ``summarised`` says of each.

    Returns:
        For each system its own seconds a sample, and of each system the least mean distance among
        its settings that take no longer (with a tolerance of a tenth); None where all take longer.
    """
    found = {}
    for system, one in systems.items():
        if "CPU seconds a sample" not in one:
            continue
        budget = one["CPU seconds a sample"]
        best = {
            name: min(
                (
                    row["distance"]["mean"]
                    for row in other.get("by steps", ())
                    if row["seconds a sample"] <= 1.1 * budget
                ),
                default=None,
            )
            for name, other in systems.items()
        }
        found[system] = {"seconds a sample": budget, "distance": best}
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


def _over(values: Sequence[float]) -> dict[str, Any]:
    """Mean and spread over the seeds, and the values; a spread of one value is None."""
    mean, spread = mean_and_spread(values)
    return {"mean": mean, "spread": None if math.isnan(spread) else spread, "values": [*values]}


def _by_steps(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """Each setting of a sampler over the seeds, the fastest first."""
    found: dict[Any, list[Measured]] = {}
    for one in rows:
        for row in one["by steps"]:
            found.setdefault(row["steps"], []).append(row)
    settings = [
        {
            "steps": steps,
            "seconds a sample": mean_and_spread([row["seconds a sample"] for row in same])[0],
            "distance": _over([row["distance"] for row in same]),
        }
        for steps, same in found.items()
    ]
    return sorted(settings, key=lambda one: one["seconds a sample"])


def _collapsed(coverage: Measured) -> bool:
    return bool(coverage["value"] < COLLAPSED * coverage["floor"])
