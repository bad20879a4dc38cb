"""Volumes turned to the nearest right-anterior-superior (RAS+) orientation, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.files.nifti import Volume

_RAS = np.array([[0, 1], [1, 1], [2, 1]])


def upright(volume: Volume) -> NDArray[np.float32]:
    """The data (X, Y, Z[, T]) with its axes reordered and flipped to the nearest right, anterior,
    superior.
    """
    import nibabel as nib

    turn = nib.io_orientation(volume.affine)  # type: ignore[no-untyped-call]
    return np.asarray(nib.apply_orientation(volume.data, turn), dtype=np.float32)  # type: ignore[no-untyped-call]


def as_stored(data: NDArray[Any], volume: Volume) -> NDArray[Any]:
    """Upright ``data`` (X, Y, Z[, T]) on the grid of its ``volume`` again: the inverse of
    ``upright``.
    """
    import nibabel as nib
    from nibabel.orientations import ornt_transform

    back = ornt_transform(_RAS, nib.io_orientation(volume.affine))  # type: ignore[no-untyped-call]
    return np.asarray(nib.apply_orientation(data, back))  # type: ignore[no-untyped-call]


def upright_affine(volume: Volume) -> NDArray[np.float64]:
    """The affine (4, 4) of the data turned ``upright``."""
    import nibabel as nib
    from nibabel.orientations import inv_ornt_aff

    turn = nib.io_orientation(volume.affine)  # type: ignore[no-untyped-call]
    return np.asarray(volume.affine @ inv_ornt_aff(turn, volume.data.shape))  # type: ignore[no-untyped-call]


def standing(volume: Volume) -> Volume:
    """A volume turned ``upright``, data and affine; its header stays that of the file."""
    data = np.ascontiguousarray(upright(volume))
    return replace(volume, data=data, affine=upright_affine(volume))
