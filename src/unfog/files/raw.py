"""Raw data of scanners: named arrays of real or complex numbers in .npy, .npz or HDF5 (ISMRMRD and
fastMRI among them), all finite. What is no number, such as a header's text, is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.files.fastmri import KEPT, PADDING, REFERENCES, is_fastmri, slices_of_fastmri
from unfog.files.hdf5 import check_contained, require_numbers_room
from unfog.files.ismrmrd import read_ismrmrd
from unfog.files.numpy_files import npz_array, npz_names, read_npy, require_finite

Raw = dict[str, NDArray[Any]]
HDF5 = (".h5", ".hdf5", ".mrd")
NUMBERS = "biufc"  # NumPy's kinds of real and complex numbers
TEXT = "SU"  # and of text


class Planes(Raw):
    """Arrays of a format in which k-space is (slices, coils, rows, columns), whatever is read."""


def read_raw(path: Path, alone: str, as_stored: bool = False) -> Raw:
    """The arrays of numbers in a file by name.

    Args:
        path: A .npy, .npz or HDF5 file.
        alone: What the array of a .npy, or of an .npz that holds one, is called.
        as_stored: Whether fastMRI's axes stay as they are, because the user names them.

    Returns:
        The arrays; ``Planes`` of ISMRMRD and of fastMRI.

    Raises:
        InputError: The file is of no known type or damaged, or its numbers are not finite.
    """
    kind = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"There is no file {path}; give a .npy, .npz or .h5 file.")
    if kind not in (".npy", ".npz", *HDF5):
        raise InputError(f"{path.name} is of no known type; give a .npy, .npz or .h5 file.")
    return _hdf5(path, alone, as_stored) if kind in HDF5 else _numpy(path, alone)


def _numpy(path: Path, alone: str) -> Raw:
    """The arrays of a .npy or .npz."""
    if path.suffix.lower() == ".npy":
        return {alone: read_npy(path, alone, NUMBERS)}
    names = npz_names(path)
    if len(names) == 1:
        return {alone: npz_array(path, names[0], NUMBERS)}
    arrays = {
        name: npz_array(path, name, NUMBERS if name == alone else NUMBERS + TEXT) for name in names
    }
    return {name: array for name, array in arrays.items() if array.dtype.kind in NUMBERS}


def _hdf5(path: Path, alone: str, as_stored: bool) -> Raw:
    """The arrays at the top of an HDF5 file, or the k-space of an ISMRMRD or fastMRI file."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("mri", "h5py") from error
    try:
        with h5py.File(path, "r") as file:
            check_contained(path, file)
            # ISMRMRD keeps its acquisitions in the group "dataset".
            group = file.get("dataset")
            is_ismrmrd = isinstance(group, h5py.Group) and "data" in group
            fastmri = is_fastmri(file, file.attrs) and not as_stored
            attributes = {name: file.attrs[name] for name in PADDING if name in file.attrs}
            references = {name: file[name].shape for name in REFERENCES if name in file}
            arrays = {
                name: _array(path, name, part)
                for name, part in file.items()
                if isinstance(part, h5py.Dataset)
                and (part.dtype.kind in NUMBERS or name == alone)
                and not is_ismrmrd
                and (name in KEPT or not fastmri)
            }
        if is_ismrmrd:
            return Planes(kspace=require_finite(path, "kspace", read_ismrmrd(path), NUMBERS))
        if fastmri:
            return Planes(slices_of_fastmri(path, arrays, references, attributes))
        return arrays
    except InputError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path.name} is not a readable HDF5 file; copy it again.") from error


def _array(path: Path, name: str, part: Any) -> NDArray[Any]:
    """One HDF5 data set, its size checked before it is read."""
    if part.dtype.kind not in NUMBERS:
        raise InputError(f"{path.name} has type {part.dtype} in {name}; save numbers.")
    require_numbers_room(path, name, part)
    return require_finite(path, name, np.asarray(part[()]), NUMBERS)
