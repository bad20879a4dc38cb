"""Files as stacks of what a model works on: (n, channels, *space) float32 in the file's own units,
and the way back.

A volume is cut into upright axial slices for a two-dimensional model and stays whole for a
three-dimensional one; either way it is written on the grid it came on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.orientations import inv_ornt_aff, io_orientation

from unfog.errors import InputError
from unfog.files.dicom import is_dicom, read_dicom
from unfog.files.nifti import Volume, new_volume, read_nifti, write_nifti
from unfog.files.numpy_files import Array, read_array, write_array
from unfog.files.orientation import PERCENTILE, as_stored, upright
from unfog.files.output import write_image
from unfog.files.pictures import read_image
from unfog.files.slices import to_slices, to_volume


class Scan(ABC):
    """A file's values as a stack, and a writer of other stacks in its format."""

    values: Array

    @abstractmethod
    def units(self, low: float, high: float) -> tuple[float, float]:
        """(offset, scale) with which (value - offset) / scale is in the model's units, data of
        which lie in [low, high].
        """

    @abstractmethod
    def write(self, folder: Path, name: str, stack: Array) -> Path:
        """Write a stack shaped as ``values`` under ``name``."""

    @abstractmethod
    def finer(self, factor: int) -> Scan:
        """The scan of a grid ``factor`` times finer along the model's axes."""


@dataclass(frozen=True)
class NiftiScan(Scan):
    """A volume, read from NIfTI or DICOM and written as NIfTI; ``dims`` is the model's
    dimension.
    """

    volume: Volume
    dims: int

    @property
    def values(self) -> Array:  # type: ignore[override]
        data = upright(self.volume)
        return np.array(to_slices(data) if self.dims == 2 else data[None, None])

    def units(self, low: float, high: float) -> tuple[float, float]:
        bottom, top = (float(v) for v in np.percentile(self.volume.data, (0.5, PERCENTILE)))
        # Noise reaches a little below 0 and is no reason to move it; the air of a CT is.
        bottom = 0.0 if bottom > -0.25 * top else bottom
        if not top > bottom or (bottom == low and abs(top - high) <= 0.25 * (high - low)):
            return 0.0, 1.0
        scale = (top - bottom) / (high - low)
        return bottom - low * scale, scale

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        whole = to_volume(stack) if self.dims == 2 else stack[0, 0]
        return write_nifti(folder / f"{name}.nii.gz", as_stored(whole, self.volume), self.volume)

    def finer(self, factor: int) -> NiftiScan:
        orientation = io_orientation(self.volume.affine)  # type: ignore[no-untyped-call]
        shape = [
            self.volume.data.shape[int(np.flatnonzero(orientation[:, 0] == axis)[0])]
            for axis in range(3)
        ]
        factors = np.array([factor, factor, factor if self.dims == 3 else 1])
        step = np.diag([*(1 / factors), 1.0])
        step[:3, 3] = (1 / factors - 1) / 2  # the first fine voxel's centre, in coarse voxels
        affine = self.volume.affine @ inv_ornt_aff(orientation, self.volume.data.shape) @ step  # type: ignore[no-untyped-call]
        return NiftiScan(new_volume(np.zeros(shape * factors, np.float32), affine), self.dims)


@dataclass(frozen=True)
class PictureScan(Scan):
    """A PNG of 8 or 16 bits, (rows, columns) or (rows, columns, 3)."""

    values: Array
    full_scale: float  # 255 or 65535

    def units(self, low: float, high: float) -> tuple[float, float]:
        scale = self.full_scale / (high - low)
        return -low * scale, scale

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        # colour has 8 bits
        top, kind = (
            (self.full_scale, np.uint16)
            if self.full_scale > 255 and len(stack[0]) == 1
            else (255.0, np.uint8)
        )
        data = (
            (np.moveaxis(stack[0], 0, -1) * (top / self.full_scale))
            .clip(0, top)
            .round()
            .astype(kind)
        )
        return write_image(folder / f"{name}.png", data[..., 0] if data.shape[-1] == 1 else data)

    def finer(self, factor: int) -> PictureScan:
        return self


@dataclass(frozen=True)
class ArrayScan(Scan):
    """A .npy of (n, channels, *space), or of one sample without the leading axes."""

    values: Array
    axes: int

    def units(self, low: float, high: float) -> tuple[float, float]:
        return 0.0, 1.0

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        for _ in range(stack.ndim - self.axes):
            if len(stack) == 1:  # colour found for a grey file keeps its axis
                stack = stack[0]
        return write_array(folder / f"{name}.npy", stack)

    def finer(self, factor: int) -> ArrayScan:
        return self


def read_scan(path: Path, dims: int, channels: int | None) -> Scan:
    """The scan in a file, for a model of ``dims`` spatial dimensions and ``channels`` channels;
    None takes any number of them.
    """
    if not path.exists():
        raise InputError(
            f"There is no file {path}; give a .nii, .nii.gz, .png or .npy file, or a DICOM series."
        )
    name = path.name.lower()
    if path.is_dir() or is_dicom(path):
        scan: Scan = NiftiScan(read_dicom(path), dims)
    elif name.endswith((".nii", ".nii.gz")):
        scan = _nifti(path, dims)
    elif name.endswith(".png"):
        scan = _picture(path)
    elif name.endswith(".npy"):
        scan = _array(path, dims)
    else:
        raise InputError(
            f"{path.name} is of no known type; give a .nii, .nii.gz, .png or .npy file, or a "
            "DICOM series."
        )
    shape = scan.values.shape
    if channels not in (None, shape[1]) or len(shape) != dims + 2:
        raise InputError(
            f"{path.name} has {shape[1]} channels in {len(shape) - 2} dimensions; here "
            f"{channels} in {dims} are expected."
        )
    return scan


def _nifti(path: Path, dims: int) -> NiftiScan:
    volume = read_nifti(path)
    if volume.data.ndim != 3:
        raise InputError(f"{path.name} has {volume.data.shape[3]} volumes; give one at a time.")
    return NiftiScan(volume, dims)


def _picture(path: Path) -> PictureScan:
    data = read_image(path)
    return PictureScan(data[None].astype(np.float32), float(np.iinfo(data.dtype).max))


def _array(path: Path, dims: int) -> ArrayScan:
    data = read_array(path)
    if not dims <= data.ndim <= dims + 2:
        raise InputError(
            f"{path.name} has {data.ndim} axes; give (n, channels, *space) with {dims} of space, "
            "or one sample of it."
        )
    return ArrayScan(data.reshape((1,) * (dims + 2 - data.ndim) + data.shape), data.ndim)
