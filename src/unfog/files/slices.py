"""Volumes (X, Y, Z) in RAS+ orientation as stacks of upright slices, and back.

A slice shows as a reader expects it under ``imshow``: anterior up in axial slices, superior up in
coronal and sagittal ones, the patient's left on the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_slices(volume: NDArray[Any], axis: int = 2) -> NDArray[Any]:
    """(X, Y, Z) to (slices, 1, rows, columns) along ``axis``; a view."""
    return np.moveaxis(volume, axis, 0).swapaxes(1, 2)[:, None, ::-1]


def to_volume(slices: NDArray[Any], axis: int = 2) -> NDArray[Any]:
    """The inverse of ``to_slices``."""
    return np.moveaxis(slices[:, 0, ::-1].swapaxes(1, 2), 0, axis)
