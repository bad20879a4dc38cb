"""Smooth random fields on a grid, and the distance to where they vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]
Random = np.random.Generator


def spline_basis(count: int, spacing: float, shift: float) -> Array:
    """The uniform cubic B-splines at the points 0 .. count - 1, (count, knots).

    Args:
        count: Points.
        spacing: Of the knots, in points.
        shift: Of the first knot, in spacings, 0 to 1.

    Returns:
        A row for each point; it sums to 1.
    """
    u = np.arange(count) / spacing + shift
    knots = int(u[-1]) + 4
    d = np.abs(u[:, None] - (np.arange(knots) - 1))
    near, far = 2 / 3 - d**2 * (1 - d / 2), np.clip(2 - d, 0, None) ** 3 / 6
    return np.where(d < 1, near, far).astype(np.float32)


def smooth_field(random: Random, shape: tuple[int, ...], spacing: float | Numbers) -> Array:
    """A random field of mean 0 and variance about 1: cubic B-splines with random coefficients.

    Args:
        random: Numbers are drawn from it.
        shape: Of the grid, (X, Y, Z).
        spacing: Of the knots in voxels, one number or one an axis; half the shortest wave.

    Returns:
        The field, float32.
    """
    spacings = np.broadcast_to(np.asarray(spacing, dtype=np.float64), len(shape))
    bases = [
        spline_basis(n, max(1.0, float(s)), float(random.uniform()))
        for n, s in zip(shape, spacings, strict=True)
    ]
    field = random.standard_normal([b.shape[1] for b in bases], dtype=np.float32)
    # Independent coefficients lose variance in the sum: by .48 an axis, on average over a cell.
    field *= np.float32(0.479 ** (-len(shape) / 2))
    for basis in bases:  # the axis in front is replaced and goes to the end
        field = np.tensordot(field, basis, (0, 1))
    return field


def zero_distance(field: Array, voxel: float) -> Array:
    """The signed distance in mm to the surface where a field vanishes, to first order: the field
    over the length of its gradient, (X, Y, Z).
    """
    slope = np.zeros_like(field)
    for part in np.gradient(field):
        slope += part * part
    distance: Array = field * np.float32(voxel) / np.sqrt(slope + np.float32(1e-8))
    return distance


def coverage(distance: Array, voxel: float) -> Array:
    """The part of each voxel that lies where the signed distance in mm is positive, 0 to 1."""
    cover: Array = np.clip(distance * np.float32(1 / voxel) + np.float32(0.5), 0, 1)
    return cover
