"""Slices of pictures and volumes as PNG, for browsers without WebGL2 and for previews.

A volume of four axes is never held whole: one volume of it is read at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.report import colour, figures, grey
from unfog.report.pictures import Picture, png

KEPT = 2  # volumes in memory
MOST = 1 << 25  # voxels of one that is shown


@dataclass(frozen=True)
class Shown:
    """One volume, its axes to the right, to the front and up: (X, Y, Z) float32, its affine, and
    how many volumes the file holds.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    count: int


def volume(path: Path, number: int = 0) -> Shown:
    """One volume of a NIfTI file, upright."""
    return _volume(path, path.stat().st_mtime_ns, number)


@lru_cache(maxsize=KEPT)
def _volume(path: Path, changed: int, number: int) -> Shown:
    """One volume of a NIfTI file as it was at a time."""
    nib: Any = import_module("nibabel")  # its types are partial
    try:
        image = nib.load(path)
        shape = image.shape
        count = shape[3] if len(shape) > 3 else 1
        if not 0 <= number < count or len(shape) not in (2, 3, 4):
            raise InputError(f"{path.name} has no volume {number}; it has {count}.")
        if math.prod(shape[:3]) > MOST:
            raise InputError(f"{path.name} is larger than {MOST} voxels a volume; download it.")
        part = image.dataobj[..., number] if len(shape) == 4 else image.dataobj[...]
    except (OSError, nib.filebasedimages.ImageFileError, EOFError) as error:
        raise InputError(f"{path.name} cannot be read; it is damaged.") from error
    data = np.nan_to_num(np.asarray(part, np.float32).reshape(*shape[:3], *[1] * (3 - len(shape))))
    one = nib.as_closest_canonical(nib.Nifti1Image(data, image.affine))
    return Shown(np.asarray(one.dataobj, np.float32), one.affine, count)


def slice_png(path: Path, axis: int, at: float, number: int = 0, table: str = "") -> bytes:
    """A slice across one axis of an upright volume, or a picture as it is.

    Args:
        path: NIfTI or PNG.
        axis: 0 sagittal, 1 coronal, 2 axial.
        at: Where along the axis, from 0 to 1.
        number: Which volume of four axes.
        table: A colour table of matplotlib; grey without.

    Returns:
        The bytes of a PNG.

    Raises:
        InputError: The file cannot be read.
    """
    if path.suffix == ".png":
        return _picture_png(path, table)
    shown = volume(path, number)
    index = min(int(at * shown.data.shape[axis]), shown.data.shape[axis] - 1)
    low, high = window(shown)
    # Rows from top to bottom; the patient's left is on the viewer's right.
    plane = np.take(shown.data, index, axis).T[::-1]
    plane = plane if axis == 0 else plane[:, ::-1]
    pixels = colour(plane, low, high, table) if table else grey(plane, low, high)
    return png(_square(pixels, shown.affine, axis))


def window(shown: Shown) -> tuple[float, float]:
    """The values that are dark and bright."""
    return figures.window(shown.data)


def _picture_png(path: Path, table: str) -> bytes:
    """A picture, coloured where a table is asked for."""
    if not table:
        return path.read_bytes()
    from unfog.files.pictures import read_image

    flat = np.asarray(read_image(path), np.float64).mean(0)
    return png(colour(flat, 0.0, float(np.percentile(flat, 99.7)) or 1.0, table))


def _square(pixels: Picture, affine: NDArray[np.float64], axis: int) -> Picture:
    """A plane with its pixels repeated until they are about square in millimetres."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    columns, rows = (size for k, size in enumerate(sizes) if k != axis)
    least = min(columns, rows) or 1.0
    return pixels.repeat(max(1, round(rows / least)), 0).repeat(max(1, round(columns / least)), 1)


def as_nifti(path: Path, number: int = 0) -> bytes:
    """One volume of a file as a NIfTI file of three axes, for the viewer in the browser."""
    nib: Any = import_module("nibabel")
    shown = volume(path, number)
    return bytes(nib.Nifti1Image(shown.data, shown.affine).to_bytes())
