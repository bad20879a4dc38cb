"""Splits of one head: slabs of axial slices, with gaps between them, and a volume resampled into
cells by exact averages.

Neighbouring slices show nearly the same anatomy, so what a model may not see is a slab, and so many
mm on both sides of it are in no split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.oblique import planes
from unfog.files.slices import to_slices

Array = NDArray[np.float32]

SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Slabs:
    """``held_out``: the first and last height of each held-out split, and ``gap`` on each side of a
    slab that is in no split; all in mm.
    """

    held_out: Mapping[str, tuple[float, float]]
    gap: float

    def split_of(self, z: float) -> str | None:
        """The split a slice at height ``z`` (mm) belongs to; None in a gap."""
        for name, (first, last) in self.held_out.items():
            if first <= z <= last:
                return name
            if first - self.gap <= z <= last + self.gap:
                return None
        return "train"

    def inside(self, heights: Array, split: str) -> NDArray[np.bool_]:
        """Which of the ``heights`` (mm) are of the split; all of them for ``all``."""
        return np.array([split in (self.split_of(float(z)), "all") for z in heights])


@dataclass(frozen=True)
class Tilted:
    """``count`` oblique planes of up to ``tilt`` degrees, each with a share ``least`` of its field
    filled (``data.builtin.oblique``).
    """

    count: int
    tilt: float
    least: float


def axial_slices(
    volumes: dict[str, Array],
    heights: Array,
    inside: NDArray[np.bool_],
    enough: NDArray[np.bool_],
    rise: Array,
    tilted: Tilted,
) -> tuple[dict[str, Array], Array]:
    """The axial slices that are ``inside`` a split and hold ``enough``, then oblique planes that
    keep inside it, and their heights.

    ``volumes`` (X, Y, Z) by name, one of them the ``mask`` of the head, become (slices, 1, rows,
    columns); ``heights`` (Z,) are one unit apart, and ``rise`` (Y,) is y - y_centre in that unit.
    """
    cut, z = (
        {part: volume[:, :, enough & inside] for part, volume in volumes.items()},
        heights[enough & inside],
    )
    if tilted.count:
        more, z_more = planes(
            volumes, heights, inside, tilted.count, tilted.tilt, rise, tilted.least
        )
        cut, z = (
            {part: np.concatenate([v, more[part]], 2) for part, v in cut.items()},
            np.concatenate([z, z_more]),
        )
    return {part: to_slices(v) for part, v in cut.items()}, z


def cell_weights(centres: Array, size: float, origin: float, count: int) -> Array:
    """(cells, voxels): each row averages exactly the voxels, one unit wide, that a cell of ``size``
    covers, in part or whole.
    """
    low, voxel = centres[:, None] - size / 2, origin + np.arange(count) - 0.5
    overlap = np.clip(np.minimum(low + size, voxel + 1) - np.maximum(low, voxel), 0, None)
    return np.asarray(overlap / size, dtype=np.float32)
