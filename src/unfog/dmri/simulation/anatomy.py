r"""Anatomy for phantoms: the shares of white matter, grey matter and fluid in each voxel, from the
MNI152 template, from tissue maps, or from a diffusion scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.mni import MniT1
from unfog.dmri.gradients import GradientTable
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError
from unfog.files.grids import same_grid
from unfog.files.nifti import Volume

Array = NDArray[np.float64]

SHAPE, RESOLUTION = (48, 48, 24), 2.0
CORNER = (16, 26, 30)  # of the crop about the ventricles, in voxels of the head at 2 mm
LENGTH = 48.0  # mm that count as 1 in ``place``


@dataclass(frozen=True)
class Anatomy:
    """The tissues of each voxel and where it lies: ``tissue`` (X, Y, Z, 3), shares of white matter,
    grey matter and fluid that sum to 1 in the head and 0 outside; ``affine`` (4, 4), voxels to mm.
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
        from its lowest point.
        """
        index = np.stack(np.meshgrid(*map(np.arange, self.tissue.shape[:3]), indexing="ij"), -1)
        world = index @ self.affine[:3, :3].T
        low, high = world.min((0, 1, 2)), world.max((0, 1, 2))
        return np.asarray((world - np.array([*(low + high)[:2] / 2, low[2]])) / LENGTH)


def mni_anatomy(shape: tuple[int, int, int] = SHAPE) -> Anatomy:
    """A crop of ``shape`` of the MNI152 template at 2 mm, about the ventricles, with all three
    tissues.
    """
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
    """Anatomy from three tissue maps.

    Args:
        white: (X, Y, Z), the share of white matter, 0 to 1.
        grey: (X, Y, Z), that of grey matter.
        fluid: (X, Y, Z), that of cerebrospinal fluid.

    Returns:
        Their anatomy; where they sum to more than 1 they are scaled to 1.

    Raises:
        InputError: The maps are not on one grid, or hold other values.
    """
    for other in (grey, fluid):
        shape = other.data.shape
        if shape != white.data.shape or not same_grid(white.affine, other.affine, shape):
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
    """Anatomy from a diffusion scan by its tensors: fluid is where water diffuses freely, an MD of
    1.2 to 2.4e-3 mm^2/s, and white matter where its diffusion has a direction, an FA of .15 to .35.

    Args:
        data: (X, Y, Z, volumes).
        gradients: The scan's table.
        mask: (X, Y, Z), the head.
        affine: (4, 4), of the scan.

    Returns:
        Its anatomy, 0 outside the mask.
    """
    tensors, maps = fit_tensors(data[mask], gradients), np.zeros((*mask.shape, 3))
    fluid = np.clip((tensors.md / 1.2e-3) - 1, 0, 1)
    white = (1 - fluid) * np.clip((tensors.fa - 0.15) / 0.2, 0, 1)
    maps[mask] = np.stack([white, 1 - fluid - white, fluid], -1)
    return Anatomy(maps, affine)


def _sharing(maps: Array, affine: Array) -> Anatomy:
    """The anatomy of ``maps`` (X, Y, Z, 3), scaled to 1 where they sum to more."""
    return Anatomy(maps / np.maximum(maps.sum(-1, keepdims=True), 1), affine)
