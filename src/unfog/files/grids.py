"""Whether two volumes lie on one grid: the same voxels in the same place."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

CLOSE = 0.1  # voxels: how far a corner of one volume may lie from the same corner of another
Affine = NDArray[np.float64]


def same_grid(one: Affine, other: Affine, shape: tuple[int, ...], any_slice: bool = False) -> bool:
    """Whether two affines put a volume in the same place, to a tenth of a voxel at every corner.

    Args:
        one: (4, 4), from voxel numbers to mm.
        other: (4, 4), likewise.
        shape: Of the volume by ``other``, (X, Y, Z).
        any_slice: Whether it, one slice, may lie anywhere along the third axis of ``one``.

    Returns:
        Whether they do.
    """
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in shape[:3]))])
    apart = (corners @ (np.linalg.inv(one) @ other).T - corners)[:, :3]
    # A third axis of one slice has a direction and a length too.
    apart = np.concatenate([apart, (np.linalg.inv(one) @ other - np.eye(4))[None, :3, 2]])
    if any_slice:
        apart = apart[:, :2]
    return bool(np.abs(apart).max() <= CLOSE)
