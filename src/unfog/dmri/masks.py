"""Masks of voxels: the head in a diffusion scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable
from unfog.errors import MissingExtra
from unfog.files.nifti import Volume

AIR = 0.3  # the largest signal of air, as a share of the head's
# the largest ratio in air of the signal at b = 0 to that with diffusion weighting: tissue, where
# water diffuses faster than 0.2e-3 mm^2/s, has a larger one
STILL = 1.25
CLEARLY = 6.0  # deviations of air's mean over all volumes above it: no air


def voxels_inside(mask: NDArray[Any] | None, space: Sequence[int]) -> NDArray[np.bool_]:
    """A mask as bool, shaped as ``space``: where ``mask`` is above 0, or everywhere without one."""
    return np.ones(tuple(space), bool) if mask is None else np.asarray(mask) > 0


def measured_somewhere(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Voxels (X, Y, Z) that are not 0 in every volume of (X, Y, Z, volumes): the others lie outside
    the field of view, or were stripped.
    """
    return np.asarray((data != 0).any(-1))


def measured_inside(mask: NDArray[Any] | None, data: NDArray[Any]) -> NDArray[np.bool_]:
    """A mask (everywhere without one) less the voxels that are 0 in every volume of ``data``,
    unless nothing were left.
    """
    inside = voxels_inside(mask, data.shape[:3])
    there = inside & measured_somewhere(data)
    return there if there.any() else inside


def brain_mask(volume: Volume, gradients: GradientTable) -> NDArray[np.bool_]:
    """The head, (X, Y, Z) bool: DIPY's median Otsu on the mean of the volumes at b = 0, or of all
    volumes where there are none, whatever else is brighter than air in the mean of all volumes
    (where fluid is bright, Otsu's threshold may lie above tissue), and a rim of a voxel.

    Everything, where what Otsu leaves out is not air: not dark, or darker with diffusion weighting,
    which air is not. A crop inside a head has no air, and Otsu would part its fluid from its
    tissue; nor has a head that was stripped, of which everything is what is not 0.
    """
    try:
        from dipy.segment.mask import median_otsu
        from scipy.ndimage import binary_dilation
    except ImportError as error:
        raise MissingExtra("dmri", "DIPY") from error
    shown = gradients.b0 if gradients.b0.any() else ~gradients.b0
    mean, weighted = volume.data[..., shown].mean(-1), volume.data[..., ~gradients.b0].mean(-1)
    everything = measured_inside(None, volume.data)
    if float(mean.max()) == float(mean.min()):
        return everything
    inside = np.asarray(median_otsu(mean, median_radius=2, numpass=1)[1], dtype=bool)
    rest = everything & ~inside
    if not inside.any() or not rest.any():
        return everything
    # Air is dark, and no darker with diffusion weighting.
    outside = np.median(mean[rest])
    dark, still = (
        outside < AIR * np.median(mean[inside]),
        outside <= STILL * np.median(weighted[rest]),
    )
    if not (dark and still):
        return everything
    # And a rim of a voxel, where tissue fades.
    found = inside | _brighter_than_air(volume.data.mean(-1), rest)
    wider = binary_dilation(found, np.ones((3, 3, 3)))
    return np.asarray(everything & wider)


def _brighter_than_air(mean: NDArray[Any], rest: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the ``mean`` of all volumes stands out of air's, most of ``rest``: its median, and its
    deviation by the median of what is below.
    """
    level = np.median(mean[rest])
    below = level - mean[rest & (mean <= level)]
    return np.asarray(mean > level + CLEARLY * 1.4826 * np.median(below))
