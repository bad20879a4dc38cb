"""How often each warning is raised of scans without a fault, as ``benchmarks/dmri_warnings.py``
counted it on phantoms.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("false_alarms.json")
# Words by which a warning of each kind is known.
KINDS = {
    "denoised already": "looks denoised already",
    "interpolated": "looks interpolated",
    "correlated noise": "noise is correlated between neighbours",
    "volumes dropped out": "Volumes dropped out",
    "slices dropped out": "Slices dropped out",
    "b-vectors flipped": "b-vectors seem flipped",
    "more removed than noise": "More was removed than noise",
    "not magnitudes": "noise is not that of magnitudes",
    "several coils": "combined coil",
    "two geometries": "are of two geometries",
    "noise by slice": "noise differs from slice to slice",
}
SURE = 0.95  # that the rate is below what is said


def kind_of(warning: str) -> str | None:
    """The kind of a warning that a test raised; None of one that states a fact."""
    return next((kind for kind, words in KINDS.items() if words in warning), None)


def with_rate(warning: str) -> str:
    """A warning with how often its test is wrong of scans without a fault, if a test raised it."""
    kind = kind_of(warning)
    if kind is None:
        return warning
    counted: dict[str, Any] = json.loads(FILE.read_text())
    scans, falsely = int(counted["scans"]), int(counted["falsely"][kind])
    rate = f"{falsely} of {scans} phantoms without a fault"
    if not falsely:
        # None in n scans: with 95 % the rate is below 1 - .05^(1 / n).
        most = 100 * -math.expm1(math.log1p(-SURE) / scans)
        rate = f"none of {scans} phantoms without a fault (so below {most:.1f} % with 95 %)"
    return f"{warning} Such a warning was raised of {rate}."
