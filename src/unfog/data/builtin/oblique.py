"""Oblique planes through a stack of axial slices, as additional samples: in a scanner heads are
tilted, so slices are seldom exactly axial.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

Array = NDArray[np.float32]
SEED = 0
TRIES = 200  # planes tried for each one wanted


def planes(
    volumes: dict[str, Array],
    heights: Array,
    allowed: NDArray[np.bool_],
    count: int,
    tilt: float,
    rise: Array,
    least: float,
) -> tuple[dict[str, Array], Array]:
    """Random oblique planes through a stack of slices, tilted about the left-right axis.

    A plane keeps the columns and rows of the stack and takes its height from the row alone,

        z(row) = z_0 + tan(angle) (y(row) - y_centre),

    by linear interpolation between two slices. It meets the brain in allowed slices only, so that
    a held-out slab stays unseen. The same arguments give the same planes.

    Args:
        volumes: Maps (X, Y, Z) by name, one of them the brain's ``mask``.
        heights: The heights of the slices (Z,) in mm, 1 mm apart.
        allowed: (Z,), True where planes may meet the brain.
        count: The number of planes.
        tilt: Their largest angle, in degrees to either side.
        rise: y - y_centre of the rows (Y,) in mm.
        least: The least share of brain in a plane.

    Returns:
        The planes through every map, (X, Y, count) by name, and their heights z_0 (count,) in mm.

    Raises:
        InputError: Too few of the planes tried lie within the allowed slices.
    """
    random, mask = np.random.default_rng(SEED), volumes["mask"]
    forbidden = np.where(allowed, 0, mask)
    accepted: list[tuple[NDArray[np.int64], Array, float]] = []
    for _ in range(TRIES * count):
        if len(accepted) == count:
            break
        # A random plane, as the slice below each row and the share of the way to the next.
        angle, middle = random.uniform(-tilt, tilt), random.uniform(0, len(heights) - 1)
        place = middle + math.tan(math.radians(angle)) * rise
        below = np.clip(np.floor(place), 0, len(heights) - 2).astype(np.int64)
        share = np.clip(place - below, 0, 1).astype(np.float32)
        # Rejected where it meets brain in a slice that is not allowed, or too little brain.
        if not _cut(forbidden, below, share).any() and _cut(mask, below, share).mean() >= least:
            accepted.append((below, share, float(heights[0] + middle)))
    if len(accepted) < count:
        raise InputError(
            f"Only {len(accepted)} of {count} oblique planes lie within the split; ask for fewer "
            "or a smaller tilt."
        )
    # The accepted planes through every map.
    cut = {
        part: np.stack([_cut(v, below, share) for below, share, _ in accepted], 2)
        for part, v in volumes.items()
    }
    return cut, np.array([z for _, _, z in accepted], dtype=np.float32)


def _cut(volume: Array, below: NDArray[np.int64], share: Array) -> Array:
    """A plane (X, Y) of a map, interpolated between the slices ``below`` (Y,) and the next, a
    ``share`` (Y,) of the way.
    """
    row = np.arange(len(below))
    return np.asarray(
        volume[:, row, below] * (1 - share) + volume[:, row, below + 1] * share, dtype=np.float32
    )
