"""Gaussian filters of volumes, by SciPy."""

from __future__ import annotations

import numpy as np

from unfog.data.synthesis.fields import Array
from unfog.errors import MissingExtra


def gaussian(
    volume: Array, sigma: float, truncate: float, axis: int | None = None, faces: str = "reflect"
) -> Array:
    """A volume (X, Y, Z) under a Gaussian, along all its axes or one.

    Args:
        volume: (X, Y, Z).
        sigma: The Gaussian's deviation in voxels.
        truncate: Where it ends, in deviations.
        axis: Along which; all by default.
        faces: What lies beyond them, as SciPy names it.

    Returns:
        The filtered volume, float32.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    try:
        from scipy.ndimage import gaussian_filter, gaussian_filter1d
    except ImportError as error:
        raise MissingExtra("demo", "scipy") from error
    if axis is None:
        found = gaussian_filter(volume, sigma, truncate=truncate, mode=faces)
    else:
        found = gaussian_filter1d(volume, sigma, axis, truncate=truncate, mode=faces)
    return np.asarray(found, dtype=np.float32)
