"""Files as stacks of what a model works on: (n, channels, *space) float32 in the file's own units,
and the way back.

A volume is cut into upright axial slices for a two-dimensional model and stays whole for a
three-dimensional one; either way it is written on the grid it came on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.extent import extent
from unfog.files.grids import same_grid
from unfog.files.nifti import Volume, new_volume, write_nifti
from unfog.files.numpy_files import Array, write_array
from unfog.files.orientation import as_stored, upright, upright_affine
from unfog.files.output import write_image
from unfog.files.slices import to_slices, to_volume


class Scan(ABC):
    """A file's values as a stack, which writes other stacks in the file's format.

    Attributes:
        values: (n, channels, *space), in the file's units.
    """

    values: Array

    @abstractmethod
    def units(self, low: float, high: float) -> tuple[float, float]:
        """(offset, scale) such that (value - offset) / scale is in the units of the model's data,
        which lie in [low, high].
        """

    @abstractmethod
    def write(self, folder: Path, name: str, stack: Array) -> Path:
        """Write a stack in the file's format.

        Args:
            folder: Where to.
            name: The file's name without suffix.
            stack: Shaped as ``values``, in the file's units.

        Returns:
            The file.
        """

    @property
    def voxel(self) -> tuple[float, ...] | None:
        """The sides of a voxel in mm along the axes of space; None where the file does not say."""
        return None

    @abstractmethod
    def finer(self, factor: int, axis: int | None = None) -> Scan:
        """The scan of a grid ``factor`` times finer along the model's axes, or one of them."""

    def same_place(self, other: Scan) -> bool:
        """Whether another scan, of the same size or one slice of it, lies on this one's grid; true
        where either does not say where it lies.
        """
        return True


@dataclass(frozen=True)
class Look:
    """The range and voxel size of samples, which their values do not tell a ``Format`` that writes
    them.

    Args:
        low: The smallest value of the model's data.
        high: The largest.
        voxel: The sides of a voxel in mm, in the order of the axes of space.
    """

    low: float
    high: float
    voxel: tuple[float, ...] = (1.0, 1.0, 1.0)


class Format(ABC):
    """A file format: how a file becomes a ``Scan``, and how samples become files.

    ``unfog.files.formats`` holds the table of them all.
    """

    name: str  # in configs and messages
    suffixes: tuple[str, ...]
    keeps: str  # the properties of a file that are kept when it is read, restored and written
    dataset: str  # the data set that reads files of this format for training
    folders: bool = True  # whether that data set reads a folder of them

    def matches(self, path: Path) -> bool:
        """Whether a file, which need not exist, is of this format."""
        return path.name.lower().endswith(self.suffixes) and not path.is_dir()

    @abstractmethod
    def read(self, path: Path, dims: int) -> Scan:
        """The file as a stack for a model of ``dims`` spatial dimensions."""

    @abstractmethod
    def describe(self, path: Path) -> dict[str, Any]:
        """What ``unfog inspect`` says of a file: ``kind``, shape, type and extremes at least."""

    @abstractmethod
    def holds(self, shape: Sequence[int]) -> bool:
        """Whether a sample of this shape (channels, *space) can be written so."""

    @abstractmethod
    def write(self, folder: Path, samples: Array, look: Look) -> None:
        """Write samples as files sample-0000 and so on.

        Args:
            folder: Where to.
            samples: (n, channels, *space), in natural units.
            look: Their range and voxel size.
        """

    def write_labels(self, folder: Path, labels: NDArray[np.uint8], look: Look) -> None:  # noqa: B027
        """Write the masks of samples as files mask-0000 and so on, on the samples' grid; nothing by
        default, since masks.npy is written whatever the format.

        Args:
            folder: Where to.
            labels: (n, *space), the number of the class at each point.
            look: The samples' voxel size.
        """


def require_same_grid(path: Path, other: Scan, scan: Scan) -> None:
    """``InputError`` where another file of the input's size lies elsewhere than the input.

    Args:
        path: The other file, a mask or a further exposure.
        other: What it holds.
        scan: The input.
    """
    if not scan.same_place(other):
        raise InputError(
            f"{path.name} is not on the input's grid (its affine differs); make it on that grid, "
            "or resample it to it."
        )


def extremes(data: NDArray[Any]) -> dict[str, Any]:
    """Shape, type, smallest and largest value of an array, for ``Format.describe``."""
    return {
        "shape": list(data.shape),
        "type": str(data.dtype),
        "smallest": float(data.min()),
        "largest": float(data.max()),
    }


@dataclass(frozen=True)
class NiftiScan(Scan):
    """A volume, read from NIfTI or DICOM and written as NIfTI.

    Args:
        volume: The volume.
        dims: The model's number of spatial dimensions: 2 cuts axial slices, 3 keeps it whole.
    """

    volume: Volume
    dims: int

    @property
    def values(self) -> Array:  # type: ignore[override]
        data = upright(self.volume)
        return np.array(to_slices(data) if self.dims == 2 else data[None, None])

    @property
    def voxel(self) -> tuple[float, ...]:
        sides = np.linalg.norm(upright_affine(self.volume)[:3, :3], axis=0)
        return tuple(map(float, sides if self.dims == 3 else sides[1::-1]))

    def units(self, low: float, high: float) -> tuple[float, float]:
        bottom, top = extent(self.volume.data)
        # Noise reaches a little below 0 and is no reason to move it; the air of a CT is.
        bottom = 0.0 if bottom > -0.25 * top else bottom
        if not top > bottom or (bottom == low and abs(top - high) <= 0.25 * (high - low)):
            return 0.0, 1.0
        scale = (top - bottom) / (high - low)
        return bottom - low * scale, scale

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        whole = to_volume(stack) if self.dims == 2 else stack[0, 0]
        return write_nifti(folder / f"{name}.nii.gz", as_stored(whole, self.volume), self.volume)

    def finer(self, factor: int, axis: int | None = None) -> NiftiScan:
        # The shape along the upright axes.
        from nibabel.orientations import io_orientation

        orientation = io_orientation(self.volume.affine)  # type: ignore[no-untyped-call]
        shape = [
            self.volume.data.shape[int(np.flatnonzero(orientation[:, 0] == axis)[0])]
            for axis in range(3)
        ]
        finer = [axis] if axis is not None else range(self.dims)
        factors = np.array([factor if k in finer else 1 for k in range(3)])
        # The affine of the upright volume, with finer steps.
        step = np.diag([*(1 / factors), 1.0])
        step[:3, 3] = (1 / factors - 1) / 2  # the first fine voxel's centre, in coarse voxels
        affine = upright_affine(self.volume) @ step
        return NiftiScan(new_volume(np.zeros(shape * factors, np.float32), affine), self.dims)

    def same_place(self, other: Scan) -> bool:
        if not isinstance(other, NiftiScan):
            return True
        shape = upright(other.volume).shape
        flat = self.dims == 2 and shape[2] == 1 < len(self.values)
        one, two = upright_affine(self.volume), upright_affine(other.volume)
        return same_grid(one, two, shape, any_slice=flat)


@dataclass(frozen=True)
class PictureScan(Scan):
    """A PNG of 8 or 16 bits.

    Args:
        values: (1, 1 or 3, rows, columns).
        full_scale: The value of white, 255 or 65535.
    """

    values: Array
    full_scale: float

    def units(self, low: float, high: float) -> tuple[float, float]:
        scale = self.full_scale / (high - low)
        return -low * scale, scale

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        picture = np.moveaxis(stack[0], 0, -1)
        deep = self.full_scale > 255 and picture.shape[-1] == 1  # colour has 8 bits
        top = self.full_scale if deep else 255.0
        levels = (picture * (top / self.full_scale)).clip(0, top).round()
        data = levels.astype(np.uint16 if deep else np.uint8)
        return write_image(folder / f"{name}.png", data[..., 0] if data.shape[-1] == 1 else data)

    def finer(self, factor: int, axis: int | None = None) -> PictureScan:
        return self


@dataclass(frozen=True)
class ArrayScan(Scan):
    """A .npy of (n, channels, *space), or of one sample without the leading axes.

    Args:
        values: (n, channels, *space).
        axes: The number of axes in the file.
    """

    values: Array
    axes: int

    def units(self, low: float, high: float) -> tuple[float, float]:
        return 0.0, 1.0

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        for _ in range(stack.ndim - self.axes):
            if len(stack) == 1:  # colour found for a grey file keeps its axis
                stack = stack[0]
        return write_array(folder / f"{name}.npy", stack)

    def finer(self, factor: int, axis: int | None = None) -> ArrayScan:
        return self
