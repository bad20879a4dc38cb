"""The file formats: one table from which reading, writing, inspecting and training choose.

A new format is a ``Format`` in a file of its own and a line in ``formats``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.dicom import is_dicom, read_dicom
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.files.numpy_files import Array, read_array
from unfog.files.output import write_image
from unfog.files.pictures import read_image
from unfog.files.scans import (
    ArrayScan,
    Format,
    Look,
    NiftiScan,
    PictureScan,
    Scan,
    extremes,
)


class Nifti(Format):
    """NIfTI: one volume a file, cut into upright axial slices for a two-dimensional model."""

    name, dataset = "nifti", "nifti"
    suffixes: tuple[str, ...] = (".nii", ".nii.gz")
    keeps = "the grid: affine, codes, units and zooms; float32 with slope 1"

    def read(self, path: Path, dims: int) -> NiftiScan:
        volume = read_nifti(path)
        if volume.data.ndim != 3:
            raise InputError(f"{path.name} has {volume.data.shape[3]} volumes; give one at a time.")
        return NiftiScan(volume, dims)

    def describe(self, path: Path) -> dict[str, Any]:
        volume = read_nifti(path)
        header = volume.header
        return {
            "kind": "NIfTI volume",
            **extremes(volume.data),
            "type": str(header.get_data_dtype()),
            "voxel mm": list(volume.zooms),
            "units": list(header.get_xyzt_units()),
            "affine": volume.affine.tolist(),
            "qform code": int(header["qform_code"]),
            "sform code": int(header["sform_code"]),
            "warnings": list(volume.notes),
        }

    def holds(self, shape: Sequence[int]) -> bool:
        return len(shape) == 4 and shape[0] == 1

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        _write_volumes(folder, "sample", samples[:, 0], look)

    def write_labels(self, folder: Path, labels: NDArray[np.uint8], look: Look) -> None:
        _write_volumes(folder, "mask", labels.astype(np.float32), look)


class Dicom(Nifti):
    """A DICOM series, a folder of it or one of its files; restorations of it are NIfTI."""

    name, dataset, suffixes = "dicom", "dicom", ()
    keeps = "the grid, as NIfTI; nothing that names a patient"

    def matches(self, path: Path) -> bool:
        return path.is_dir() or is_dicom(path)

    def read(self, path: Path, dims: int) -> NiftiScan:
        return NiftiScan(read_dicom(path), dims)

    def describe(self, path: Path) -> dict[str, Any]:
        volume = read_dicom(path)
        return {
            "kind": "DICOM series",
            **extremes(volume.data),
            "voxel mm": list(volume.zooms),
            "affine": volume.affine.tolist(),
            "warnings": list(volume.notes),
        }

    def holds(self, shape: Sequence[int]) -> bool:
        return False  # written as NIfTI


class Png(Format):
    """PNG: grey of 8 or 16 bits, or RGB of 8."""

    name, suffixes, dataset = "png", (".png",), "images"
    keeps = "the size, and the depth of grey"

    def read(self, path: Path, dims: int) -> PictureScan:
        data = read_image(path)
        return PictureScan(data[None].astype(np.float32), float(np.iinfo(data.dtype).max))

    def describe(self, path: Path) -> dict[str, Any]:
        return {"kind": "picture", **extremes(read_image(path))}

    def holds(self, shape: Sequence[int]) -> bool:
        return len(shape) == 3 and shape[0] in (1, 3)

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        pictures = eight_bits(samples, look)
        for k, picture in enumerate(pictures):
            write_image(folder / f"sample-{k:04d}.png", picture)
        write_image(folder / "contact-sheet.png", contact_sheet(pictures))

    def write_labels(self, folder: Path, labels: NDArray[np.uint8], look: Look) -> None:
        for k, picture in enumerate(labels):
            write_image(folder / f"mask-{k:04d}.png", picture)


class Npy(Format):
    """NumPy's .npy: (n, channels, *space), or one sample of it."""

    name, suffixes, dataset, folders = "npy", (".npy",), "arrays", False
    keeps = "the shape; float32"

    def read(self, path: Path, dims: int) -> ArrayScan:
        data = read_array(path)
        if not dims <= data.ndim <= dims + 2:
            raise InputError(
                f"{path.name} has {data.ndim} axes; give (n, channels, *space) with {dims} of "
                "space, or one sample of it."
            )
        stack = data.reshape((1,) * (dims + 2 - data.ndim) + data.shape)
        return ArrayScan(stack, data.ndim)

    def describe(self, path: Path) -> dict[str, Any]:
        return {"kind": "array", **extremes(read_array(path))}

    def holds(self, shape: Sequence[int]) -> bool:
        return True

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        """Nothing: samples.npy is written whatever the format."""


# In this order the formats are tried for a file to read, and for samples to write.
formats: list[Format] = [Nifti(), Dicom(), Png(), Npy()]


def format_of(path: Path) -> Format:
    """The format of a file; ``InputError`` where there is no file or none of a known format."""
    if not path.exists():
        raise InputError(f"There is no file {path}; give {_known()}.")
    for candidate in formats:
        if candidate.matches(path):
            return candidate
    raise InputError(f"{path.name} is of no known type; give {_known()}.")


def format_for(shape: Sequence[int], name: str | None = None) -> Format:
    """The format that samples of a shape (channels, *space) are written in: the one called
    ``name``, or the first that holds them.
    """
    if name is not None:
        return next(candidate for candidate in formats if candidate.name == name)
    return next(candidate for candidate in formats if candidate.holds(shape))


def read_scan(path: Path, dims: int, channels: int | None) -> Scan:
    """The scan in a file.

    Args:
        path: A file, or the folder of a DICOM series.
        dims: The model's number of spatial dimensions.
        channels: How many channels the file must have; None takes any number.

    Returns:
        Its values as a stack (n, channels, *space), with what is needed to write them back.

    Raises:
        InputError: The file is of no known type, or of other channels or dimensions.
    """
    scan = format_of(path).read(path, dims)
    shape = scan.values.shape
    if channels not in (None, shape[1]) or len(shape) != dims + 2:
        raise InputError(
            f"{path.name} has {shape[1]} channels in {len(shape) - 2} dimensions; here {channels} "
            f"in {dims} are expected."
        )
    return scan


def _known() -> str:
    """The kinds of files that can be read, for errors."""
    suffixes = [suffix for candidate in formats for suffix in candidate.suffixes]
    return f"a {', '.join(suffixes[:-1])} or {suffixes[-1]} file, or a DICOM series"


def _write_volumes(folder: Path, name: str, volumes: Array, look: Look) -> None:
    """Write volumes (n, X, Y, Z) as NIfTI, the origin in the middle of each."""
    affine = np.diag([*look.voxel, 1.0])
    affine[:3, 3] = -np.array(look.voxel) * (np.array(volumes.shape[1:]) - 1) / 2
    for k, volume in enumerate(volumes):
        write_nifti(folder / f"{name}-{k:04d}.nii.gz", volume, new_volume(volume, affine))


def eight_bits(samples: Array, look: Look) -> NDArray[np.uint8]:
    """Samples (n, channels, rows, columns) as pictures (n, rows, columns[, 3]): the data's range
    becomes 0 to 255.
    """
    # In float32 and by way of [-1, 1], the model's scale.
    scaled = (samples - np.float32(look.low)) * np.float32(2 / (look.high - look.low)) - 1
    levels = (np.float32(127.5) * (scaled + 1)).clip(0, 255).round().astype(np.uint8)
    levels = np.moveaxis(levels, 1, -1)
    return levels[..., 0] if levels.shape[-1] == 1 else levels


def contact_sheet(pictures: NDArray[Any], gap: int = 2) -> NDArray[Any]:
    """Pictures (n, rows, columns[, 3]) in one, ceil(sqrt(n)) to a row, ``gap`` pixels of white
    between them.
    """
    n, rows, columns = pictures.shape[:3]
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    size = (down * (rows + gap) + gap, across * (columns + gap) + gap, *pictures.shape[3:])
    sheet = np.full(size, 255, pictures.dtype)
    for k, picture in enumerate(pictures):
        top = gap + k // across * (rows + gap)
        left = gap + k % across * (columns + gap)
        sheet[top : top + rows, left : left + columns] = picture
    return sheet
