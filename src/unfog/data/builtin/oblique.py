"""Oblique planes through a stack of axial slices: heads nod, so slices are seldom quite axial.

A plane keeps the columns and rows of the stack and takes its height from the row alone,

    z(row) = z_0 + tan(angle) (y(row) - y_centre),

linear between two slices. Where the brain lies in a plane, the plane never leaves the slices it may
see, so a held-out slab stays unseen.
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
    """``count`` planes through every (X, Y, Z) map at angles within +- ``tilt`` degrees, as (X, Y,
    count), and their heights z_0 in mm.

    ``heights`` (Z,) in mm, 1 mm apart; ``allowed`` (Z,) where planes may meet the brain; ``rise``
    (Y,) is y - y_centre in mm; a plane needs a share ``least`` of brain. The same arguments give
    the same planes.
    """
    random, mask = np.random.default_rng(SEED), volumes["mask"]
    forbidden = np.where(allowed, 0, mask)
    found: list[tuple[NDArray[np.int64], Array, float]] = []
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        angle, middle = random.uniform(-tilt, tilt), random.uniform(0, len(heights) - 1)
        place = middle + math.tan(math.radians(angle)) * rise
        below = np.clip(np.floor(place), 0, len(heights) - 2).astype(np.int64)
        share = np.clip(place - below, 0, 1).astype(np.float32)
        if not _cut(forbidden, below, share).any() and _cut(mask, below, share).mean() >= least:
            found.append((below, share, float(heights[0] + middle)))
    if len(found) < count:
        raise InputError(
            f"Only {len(found)} of {count} oblique planes lie within the split; ask for fewer or "
            "a smaller tilt."
        )
    cut = {
        part: np.stack([_cut(v, below, share) for below, share, _ in found], 2)
        for part, v in volumes.items()
    }
    return cut, np.array([z for _, _, z in found], dtype=np.float32)


def _cut(volume: Array, below: NDArray[np.int64], share: Array) -> Array:
    """(X, Y): between the slices ``below`` (Y,) and the next, a ``share`` (Y,) of the way."""
    row = np.arange(len(below))
    return np.asarray(
        volume[:, row, below] * (1 - share) + volume[:, row, below + 1] * share, dtype=np.float32
    )
