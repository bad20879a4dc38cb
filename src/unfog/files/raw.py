"""Raw data of scanners: named arrays of real or complex numbers in .npy, .npz or HDF5 (ISMRMRD
among them), all finite.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.files.ismrmrd import read_ismrmrd
from unfog.files.numpy_files import MEMORY_CAP, npz_array, npz_names, read_npy, require_finite

Raw = dict[str, NDArray[Any]]
HDF5 = (".h5", ".hdf5", ".mrd")
NUMBERS = "biufc"  # NumPy's kinds of real and complex numbers


def read_raw(path: Path, alone: str) -> Raw:
    """The arrays of a file by name; the array of a .npy, or of an .npz that holds one, is called
    ``alone``.
    """
    kind = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"There is no file {path}; give a .npy, .npz or .h5 file.")
    if kind not in (".npy", ".npz", *HDF5):
        raise InputError(f"{path.name} is of no known type; give a .npy, .npz or .h5 file.")
    return _hdf5(path) if kind in HDF5 else _numpy(path, alone)


def _numpy(path: Path, alone: str) -> Raw:
    """The arrays of a .npy or .npz."""
    if path.suffix.lower() == ".npy":
        return {alone: read_npy(path, alone, NUMBERS)}
    names = npz_names(path)
    arrays = {name: npz_array(path, name, NUMBERS) for name in names}
    return {alone: arrays[names[0]]} if len(names) == 1 else arrays


def _hdf5(path: Path) -> Raw:
    """The arrays at the top of an HDF5 file, or the k-space of an ISMRMRD file."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("mri", "h5py") from error
    try:
        with h5py.File(path, "r") as file:
            # ISMRMRD keeps its acquisitions in the group "dataset".
            is_ismrmrd = "dataset" in file and "data" in file["dataset"]
            arrays = {
                name: _array(path, name, part)
                for name, part in file.items()
                if isinstance(part, h5py.Dataset)
            }
        if is_ismrmrd:
            return {"kspace": require_finite(path, "kspace", read_ismrmrd(path), NUMBERS)}
        return arrays
    except (OSError, RuntimeError, TypeError) as error:
        raise InputError(f"{path.name} is not a readable HDF5 file; copy it again.") from error


def _array(path: Path, name: str, part: Any) -> NDArray[Any]:
    """One HDF5 data set, its size checked before it is read."""
    if math.prod(part.shape) * part.dtype.itemsize > MEMORY_CAP:
        raise InputError(f"{path.name} needs more than {MEMORY_CAP >> 30} GB in {name}; split it.")
    return require_finite(path, name, np.asarray(part[()]), NUMBERS)
