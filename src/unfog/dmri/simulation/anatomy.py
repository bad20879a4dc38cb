r"""Anatomy for phantoms: how much white matter, grey matter and fluid each voxel holds, and where
it lies in the world.

From the MNI152 template, from tissue maps of one's own, or from a diffusion scan: fluid is where
water is free, white matter where its diffusion has a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.mni import MniT1
from unfog.dmri.gradients import GradientTable
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError
from unfog.files.nifti import Volume

Array = NDArray[np.float64]

SHAPE, RESOLUTION = (48, 48, 24), 2.0
CORNER = (16, 26, 30)  # of the crop about the ventricles, in voxels of the head at 2 mm
LENGTH = 48.0  # mm that count as 1 in ``place``


@dataclass(frozen=True)
class Anatomy:
    """``tissue`` (X, Y, Z, 3), white matter, grey matter and fluid, summing to 1 in the head and 0
    outside; ``affine`` (4, 4) to mm.
    """

    tissue: Array
    affine: Array

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise InputError(
                "The anatomy holds no brain: no voxel is half filled with tissue; check its maps."
            )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(X, Y, Z), True in the head."""
        return np.asarray(self.tissue.sum(-1) > 0.5)

    @property
    def place(self) -> Array:
        """World coordinates (X, Y, Z, 3) in units of 48 mm: x and y from the middle of the grid, z
        from its floor.
        """
        index = np.stack(np.meshgrid(*map(np.arange, self.tissue.shape[:3]), indexing="ij"), -1)
        world = index @ self.affine[:3, :3].T
        low, high = world.min((0, 1, 2)), world.max((0, 1, 2))
        return np.asarray((world - np.array([*(low + high)[:2] / 2, low[2]])) / LENGTH)


def mni_anatomy(shape: tuple[int, int, int] = SHAPE) -> Anatomy:
    """A crop of the template at 2 mm: about the ventricles, with all three tissues and fluid."""
    head = MniT1("all", dims=3, resolution=RESOLUTION, tissue=True)
    grey, white = head.batch([0])["tissue"][0].numpy().astype(np.float64)
    where = tuple(slice(first, first + side) for first, side in zip(CORNER, shape, strict=True))
    inside = head.brain_mask([0])[0, 0][where]
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(CORNER)
    return _sharing(
        np.stack([white, grey, np.clip(1 - white - grey, 0, 1)], -1)[where] * inside[..., None],
        affine,
    )


def anatomy_of_maps(white: Volume, grey: Volume, fluid: Volume) -> Anatomy:
    """Tissue maps on one grid, each from 0 to 1."""
    for other in (grey, fluid):
        if other.data.shape != white.data.shape or not np.allclose(
            other.affine, white.affine, atol=0.05 * min(white.zooms)
        ):
            raise InputError("The three tissue maps are not on one grid; make them on the same.")
    maps = np.stack([volume.data.astype(np.float64) for volume in (white, grey, fluid)], -1)
    if maps.ndim != 4 or maps.min() < -0.01 or maps.max() > 1.01:
        raise InputError(
            f"Tissue maps hold shares of one volume, from 0 to 1, not {maps.min():.3g} to "
            f"{maps.max():.3g}; rescale them."
        )
    return _sharing(maps.clip(0, 1), white.affine)


def anatomy_like(
    data: NDArray[np.floating], gradients: GradientTable, mask: NDArray[np.bool_], affine: Array
) -> Anatomy:
    """The tissues of a scan (X, Y, Z, volumes) by its tensors: fluid from an MD of 1.2 to 2.4e-3
    mm^2/s, white from an FA of .15 to .35.
    """
    found, maps = fit_tensors(data[mask], gradients), np.zeros((*mask.shape, 3))
    fluid = np.clip((found.md / 1.2e-3) - 1, 0, 1)
    white = (1 - fluid) * np.clip((found.fa - 0.15) / 0.2, 0, 1)
    maps[mask] = np.stack([white, 1 - fluid - white, fluid], -1)
    return Anatomy(maps, affine)


def _sharing(maps: Array, affine: Array) -> Anatomy:
    """Maps that are more than all of a voxel scaled to all of it."""
    return Anatomy(maps / np.maximum(maps.sum(-1, keepdims=True), 1), affine)
