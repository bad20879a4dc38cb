"""Masks of voxels: where to work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def voxels_inside(mask: NDArray[Any] | None, space: Sequence[int]) -> NDArray[np.bool_]:
    """``space`` bool: where ``mask`` is above 0, or everywhere without one."""
    return np.ones(tuple(space), bool) if mask is None else np.asarray(mask) > 0
