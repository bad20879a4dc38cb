"""What happens to volumes in a scanner: displacement by the field along the phase encoding, motion,
drift and slices that drop out. To measure methods and warnings on phantoms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unfog.errors import MissingExtra

Array = NDArray[np.float64]


def reversed_encoding(
    signal: Array, volumes: Sequence[int], size: float = 2.0, seed: int = 0
) -> Array:
    """Volumes displaced along y by a smooth field, to one side or to the other, and brighter where
    tissue is pushed together, as echo-planar images are (Andersson et al. 2003).

    Args:
        signal: (X, Y, Z, volumes), without noise.
        volumes: Those with the encoding reversed.
        size: The largest displacement, in voxels.
        seed: Of the place of the field.

    Returns:
        (X, Y, Z, volumes).
    """
    try:
        from scipy.ndimage import map_coordinates
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    shape = signal.shape[:3]
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    middle = np.random.default_rng(seed).uniform(-0.4, 0.4, 2)
    field = size * np.exp(-((x - middle[0]) ** 2 + (y - middle[1] - 0.2) ** 2) / 0.2)
    pressed, out = np.gradient(field, axis=1), np.empty_like(signal)
    for k in range(signal.shape[3]):
        sign, at = (-1.0 if k in volumes else 1.0), np.indices(shape).astype(float)
        at[1] += sign * field
        moved = map_coordinates(signal[..., k], at, order=1, mode="nearest")
        out[..., k] = moved * (1 + sign * pressed)
    return out


def moved(signal: Array, shifts: Array) -> Array:
    """Volumes shifted as a whole.

    Args:
        signal: (X, Y, Z, volumes), without noise.
        shifts: (volumes, 3), in voxels.

    Returns:
        (X, Y, Z, volumes).
    """
    try:
        from scipy.ndimage import shift
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    volumes = [
        shift(signal[..., k], at, order=1, mode="nearest") if at.any() else signal[..., k]
        for k, at in enumerate(shifts)
    ]
    return np.stack(volumes, -1)


def drifting(signal: Array, share: float = 0.05) -> Array:
    """Volumes (X, Y, Z, volumes) that lose a ``share`` of the signal from the first to the last."""
    return np.asarray(signal * np.linspace(1, 1 - share, signal.shape[3]))
