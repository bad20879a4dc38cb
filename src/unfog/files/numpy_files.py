"""NumPy files, .npy and .npz: read where their headers tell the truth, and never a pickle."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.output import write_bytes

MEMORY_CAP = 8 << 30  # bytes of one array
REAL = "biuf"  # NumPy's kinds of real numbers


def npz_names(file: Path) -> list[str]:
    """Of the arrays in an .npz."""
    with zipfile.ZipFile(file) as bundle:
        return [name.removesuffix(".npy") for name in bundle.namelist()]


def npz_array(file: Path, name: str, kinds: str = REAL) -> NDArray[Any]:
    """One array of an .npz, of one of NumPy's ``kinds`` of numbers, finite."""
    with zipfile.ZipFile(file) as bundle:
        info = bundle.getinfo(f"{name}.npy")
        with bundle.open(info) as stream:
            _check_header(file, stream, info.file_size)
        with bundle.open(info) as stream:
            return require_finite(
                file, name, np.lib.format.read_array(stream, allow_pickle=False), kinds
            )


def _check_header(file: Path, stream: Any, size: int) -> None:
    """Refuse a header that claims more than its member holds, before NumPy makes room for it."""
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(stream)
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed > min(size, MEMORY_CAP):
        raise InputError(
            f"{file.name} claims {claimed} bytes in its header and holds {size}, of which "
            f"{MEMORY_CAP >> 30} GB are read."
        )


def require_finite(file: Path, name: str, array: NDArray[Any], kinds: str = REAL) -> NDArray[Any]:
    """The array, read into memory, where it is of one of NumPy's ``kinds`` of numbers, not too
    large and finite.
    """
    if array.dtype.kind not in kinds:
        raise InputError(
            f"{file.name} has type {array.dtype} in {name}; save "
            f"{'real ' if kinds == REAL else ''}numbers."
        )
    if array.nbytes > MEMORY_CAP:
        raise InputError(f"{file.name} needs more than {MEMORY_CAP >> 30} GB; split it.")
    array = np.array(array)
    if array.dtype.kind in "fc" and (bad := int((~np.isfinite(array)).sum())):
        raise InputError(
            f"{file.name} has {bad} non-finite values of {array.size} in {name}; mend or mask "
            "them first."
        )
    return array


Array = NDArray[np.float32]


def read_array(path: Path) -> Array:
    """A .npy of finite real numbers; never a pickle."""
    try:
        data: NDArray[Any] = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # a map is checked against the file's length
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path.name} is not a readable .npy of numbers; save it with numpy.save."
        ) from error
    if (
        not isinstance(data, np.ndarray)
        or data.dtype.kind not in "uifb"
        or data.size == 0
        or not np.isfinite(data).all()
    ):
        raise InputError(f"{path.name} must hold real, finite numbers.")
    return np.array(data, dtype=np.float32)


def write_array(path: Path, data: Array) -> Path:
    """A .npy, written atomically."""
    content = io.BytesIO()
    np.save(content, data, allow_pickle=False)
    return write_bytes(path, content.getvalue())
