"""Fibre directions as pictures for a report: colours, and sticks or cones over FA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable, world_of_voxels
from unfog.dmri.tensor import fit_tensors
from unfog.report import Axis, grey
from unfog.report.pictures import Picture

Array = NDArray[np.floating[Any]]
LEAST_FA = 0.2  # of a voxel with a stick
MOST = 3000  # sticks a picture


@dataclass(frozen=True)
class Directions:
    """Maps of fibre directions.

    Args:
        axis: (X, Y, Z, 3), unit vectors in world axes.
        fa: Fractional anisotropy, (X, Y, Z).
        cone: (X, Y, Z), the half-angle of the cone of uncertainty in degrees, 0 without one.
    """

    axis: Array
    fa: Array
    cone: Array

    def along(self, affine: NDArray[np.float64]) -> tuple[Array, Array, Array]:
        """The maps axis, fa and cone, with axes along those of a volume with ``affine`` (4, 4)."""
        return self.axis @ world_of_voxels(affine), self.fa, self.cone


def directions_of(data: Array, inside: NDArray[np.bool_], gradients: GradientTable) -> Directions:
    """Principal directions and FA by a tensor fit.

    Args:
        data: (X, Y, Z, volumes), signals.
        inside: (X, Y, Z), the voxels to fit.
        gradients: The scan's table.

    Returns:
        The maps, 0 outside, without cones.

    Raises:
        InputError: The table does not determine a tensor.
    """
    tensors = fit_tensors(data[inside], gradients)
    axis = np.zeros((*inside.shape, 3), np.float32)
    fa = np.zeros(inside.shape, np.float32)
    axis[inside] = tensors.direction
    fa[inside] = tensors.fa
    return Directions(axis, fa, np.zeros_like(fa))


def sticks(axis: Array, fa: Array, cone: Array) -> tuple[Picture, list[Axis]]:
    """An axial slice of FA in grey, and the axes of its fibrous voxels to draw over it.

    Args:
        axis: (rows, columns, 3), unit vectors.
        fa: (rows, columns).
        cone: (rows, columns), half-angles in degrees, 0 without cones.

    Returns:
        The picture, and an axis for each fibrous voxel, or for every other row and column where
        there are too many.
    """
    where = np.argwhere(fa > LEAST_FA)
    step = 1 + int(len(where) > MOST)
    axes = []
    for r, c in where:
        if r % step == 0 and c % step == 0:
            right, up = float(axis[r, c, 0]), float(axis[r, c, 1])
            colour = _bright(axis[r, c])
            axes.append(Axis(int(r), int(c), right, up, colour, float(cone[r, c])))
    return grey(fa), axes


def _bright(axis: Array) -> tuple[int, int, int]:
    """The colour of an axis, scaled to full brightness."""
    x, y, z = (int(v) for v in np.rint(255 * np.abs(axis) / max(float(np.abs(axis).max()), 1e-6)))
    return x, y, z
