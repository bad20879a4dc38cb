"""The range of the values of an image of unknown units, whatever empty space stands around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BOTTOM, TOP = 0.5, 99.5  # percentiles: the darkest and the brightest, but for a few voxels


def extent(data: NDArray[Any]) -> tuple[float, float]:
    """The darkest and the brightest of the values that are not empty, but for a few: (0, 0) where
    all is empty.
    """
    filled = data[data != 0]
    if not filled.size:
        return 0.0, 0.0
    bottom, top = np.percentile(filled, (BOTTOM, TOP))
    above = _above(filled)
    return float(bottom), float(top if above is filled else np.percentile(above, TOP))


def brightest(data: NDArray[Any]) -> float:
    """The brightest of the values that are not empty, but for a few; 0 where all is empty."""
    filled = data[data != 0]
    return float(np.percentile(_above(filled), TOP)) if filled.size else 0.0


def _above(filled: NDArray[Any]) -> NDArray[Any]:
    """Values that are not 0, without the smallest where it stands for a background: where at least
    0.5 % of them share it.
    """
    background = filled.min()
    if np.percentile(filled, BOTTOM) > background:
        return filled
    above = filled[filled != background]
    return above if above.size else filled
