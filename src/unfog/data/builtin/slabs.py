"""Splits of one head into slabs of axial slices with gaps between them, and resampling by exact
averages.

Neighbouring slices show nearly the same anatomy, so the held-out splits are slabs, and the slices
within a gap on both sides of a slab are in no split.
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
    """The division of a head into splits by height: ``held_out`` is the first and last height of
    each held-out split, and ``gap`` the width on each side of a slab that is in no split; all in
    mm.
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
        """Which of the ``heights`` (mm) belong to the split; all of them for ``all``."""
        return np.array([split in (self.split_of(float(z)), "all") for z in heights])


@dataclass(frozen=True)
class Tilted:
    """How many oblique planes to add, ``count``, at up to ``tilt`` degrees, each with a share
    ``least`` of brain (``data.builtin.oblique``).
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
    """The samples of a split: its axial slices, then oblique planes within it.

    Args:
        volumes: Maps (X, Y, Z) by name, one of them the ``mask`` of the head.
        heights: The heights of the slices (Z,), one unit of length apart.
        inside: (Z,), True for slices of the split.
        enough: (Z,), True for slices with enough of the head.
        rise: y - y_centre of the rows (Y,), in the same unit.
        tilted: The oblique planes to add.

    Returns:
        Slices (slices, 1, rows, columns) by name, and their heights (slices,).
    """
    cut, z = (
        {part: volume[:, :, enough & inside] for part, volume in volumes.items()},
        heights[enough & inside],
    )
    # Oblique planes come after the axial slices.
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
    """The matrix that averages voxels over cells along one axis, exactly: a voxel counts by the
    part of the cell that it covers.

    Args:
        centres: The centres of the cells (cells,), in voxels' widths.
        size: The width of a cell, in the same unit.
        origin: The centre of the first voxel.
        count: The number of voxels.

    Returns:
        Weights (cells, voxels); a row sums to 1 where the voxels cover its cell.
    """
    low, voxel = centres[:, None] - size / 2, origin + np.arange(count) - 0.5
    overlap = np.clip(np.minimum(low + size, voxel + 1) - np.maximum(low, voxel), 0, None)
    return np.asarray(overlap / size, dtype=np.float32)
