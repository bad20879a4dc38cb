r"""Noise whose level differs from slice to slice, read from the scan: interleaved acquisition, or
leakage between slices that were excited together.

The level in space is averaged over a few voxels, which blurs what changes from one slice to the
next. What the scan's components leave of voxel v, of variance r_v, over its average in space s_v,
says it slice by slice (of each voxel the volumes where most is left do not count, since a slice may
have dropped out of some),

    q_k = <r_v / s_v> over the voxels of slice k;   its level over the smooth one is sqrt q_k,

known to 2 / (voxels x directions that are noise), its variance by chance.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.low_rank import global_pca
from unfog.dmri.denoising.noise_level import Noise, smooth

AXES = "xyz"
VOXELS, SLICES = 30, 4  # in a slice, and slices along an axis, at least
SURELY = 5.0  # times chance that levels must differ, root mean square
SPREAD = 0.1  # of levels over the smooth level that is worth dividing out
KEPT = 0.8  # of a voxel's volumes
FEWEST = 6  # directions that are noise, at least


class SliceLevels(NamedTuple):
    """Levels of slices over the smooth level along one ``axis``: ``levels`` (slices,), 1 where a
    slice is too small to tell; their root mean square ``spread`` about 1, and that ``over_chance``.
    """

    axis: int
    levels: NDArray[np.float64]
    spread: float
    over_chance: float

    @property
    def clear(self) -> bool:
        """Whether slices clearly differ."""
        return self.spread >= SPREAD and self.over_chance >= SURELY

    @property
    def summary(self) -> dict[str, Any]:
        """The part of a summary.json that is about them."""
        return {
            "axis": AXES[self.axis],
            "levels over the smooth level": [round(float(one), 3) for one in self.levels],
            "spread": round(self.spread, 4),
            "spread over chance": round(self.over_chance, 2),
            "divided out": self.clear,
        }

    def map(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The levels over a scan's ``shape`` (X, Y, Z)."""
        sides = [1, 1, 1]
        sides[self.axis] = len(self.levels)
        level = np.broadcast_to(self.levels.reshape(sides), shape)
        return np.ascontiguousarray(level, dtype=np.float32)


def slice_levels(data: NDArray[Any], noise: Noise, inside: NDArray[np.bool_]) -> SliceLevels | None:
    """The levels of slices along the axis where they differ most surely.

    Args:
        data: (X, Y, Z, volumes), as acquired.
        noise: Of the scan, estimated without knowing of slices.
        inside: (X, Y, Z), the voxels it was estimated in.

    Returns:
        The levels; None where no axis has slices enough, or there is no noise.
    """
    level = noise.level.numpy()
    inside = inside & (level > 0)
    if inside.sum() < VOXELS * SLICES:
        return None
    rows = torch.from_numpy((data[inside] / level[inside, None]).astype(np.float32))
    components = global_pca(rows, noise.independent)
    directions = rows.shape[1] - components.axes.shape[1]
    if directions < FEWEST:
        return None
    # What the components leave, squared, of each voxel's quieter volumes.
    left = np.square((rows - components.whole(components.scores(rows))).numpy())
    kept = max(int(KEPT * left.shape[1]), 1)
    quiet = np.partition(left, kept - 1, axis=1)[:, :kept].mean(1)
    where, variance = torch.from_numpy(inside), torch.zeros(inside.shape, dtype=torch.float64)
    variance[where] = torch.from_numpy(quiet).double()
    average = smooth(variance, where).clamp(min=1e-30).numpy()
    ratio = np.where(inside, variance.numpy() / average, 0)
    told = KEPT * directions * noise.independent
    found = [_along(axis, ratio, inside, told) for axis in range(3)]
    return max((one for one in found if one), key=lambda one: one.over_chance, default=None)


def _along(
    axis: int, ratio: NDArray[Any], inside: NDArray[np.bool_], directions: float
) -> SliceLevels | None:
    """The levels along one axis, each voxel counting as many ``directions``."""
    others = tuple(k for k in range(3) if k != axis)
    voxels = inside.sum(others)
    told = voxels >= VOXELS
    if told.sum() < SLICES:
        return None
    q = np.where(told, ratio.sum(others) / np.maximum(voxels, 1), 1.0)
    q[told] /= q[told].mean()
    chance = np.sqrt(2 / (np.maximum(voxels, 1) * directions))
    levels = np.sqrt(q)
    spread = math.sqrt(float(np.mean((levels[told] - 1) ** 2)))
    over_chance = math.sqrt(float(np.mean(((q[told] - 1) / chance[told]) ** 2)))
    return SliceLevels(axis, levels, spread, over_chance)
