"""The groups of volumes in a scan: of one phase encoding each, as files or the data tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.blind import has_enough_directions
from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.geometries import Geometries, two_geometries
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.scan import Series, named_volumes

FILES, DATA = "--acqp and --index", "the data"


@dataclass(frozen=True)
class Groups:
    """The groups of a scan's volumes.

    Args:
        table: The scan's.
        numbers: (volumes,), each volume's group; None where all are one.
        told_by: What told them.
        found: What the data say of two geometries, if they were asked and can say it.
    """

    table: GradientTable
    numbers: NDArray[np.int64] | None = None
    told_by: str = ""
    found: Geometries | None = None

    @property
    def _volumes(self) -> list[NDArray[np.int64]]:
        if self.numbers is None:
            return []
        return [np.flatnonzero(self.numbers == k) for k in np.unique(self.numbers)]

    @property
    def summary(self) -> dict[str, Any]:
        """The part of a summary.json that is about them."""
        facts: dict[str, Any] = {}
        if self.found is not None:
            facts["two geometries"] = {
                "correlation with two numbers": round(self.found.two_valued, 3),
                "eigenvalue over noise": round(self.found.strength, 2),
                "explained by motion": round(self.found.rigid, 3),
                "clear": self.found.clear,
            }
        if self.numbers is not None:
            volumes = [one.tolist() for one in self._volumes]
            facts["volume groups"] = {"told by": self.told_by, "volumes": volumes}
        return facts

    @property
    def apart(self) -> bool:
        """Whether the prior denoises each group by itself: there are several, and each that has
        weighted volumes has a shell of 15 directions and b = 0.
        """
        tables = [self.table[one] for one in self._volumes]
        return bool(tables) and all(has_enough_directions(t) for t in tables if not t.b0.all())

    def warnings(self, prior: bool) -> list[str]:
        """What a reader should know of the groups, given whether a prior denoised the scan."""
        told = []
        if self.told_by == DATA:
            named = " and ".join(named_volumes(one) for one in self._volumes)
            told.append(
                f"The volumes are of two geometries, as with two phase encodings ({named}, counted "
                "from 0)."
            )
        if prior and self.numbers is not None and not self.apart:
            told.append(
                "A group of one phase encoding has no b = 0, or no shell of 15 directions, so the "
                "prior denoised all groups together."
            )
        return told


def groups_of(series: Series, denoised: Denoised, told: NDArray[np.int64] | None) -> Groups:
    """The groups of a scan's volumes.

    Args:
        series: The scan.
        denoised: Denoised by low rank, for its noise.
        told: (volumes,), as files tell; None where there are none, and the data are asked.

    Returns:
        The groups.
    """
    table = series.gradients
    if told is not None:
        several = len(np.unique(told)) > 1
        return Groups(table, told if several else None, FILES if several else "")
    level = denoised.noise.level.numpy()
    found = two_geometries(series.volume.data, table, series.inside, level)
    if found is None or not found.clear:
        return Groups(table, found=found)
    return Groups(table, found.group, DATA, found)
