"""NumPy files, .npy and .npz: read where their headers tell the truth, and never a pickle."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.output import write_bytes
from unfog.files.room import require_room

Array = NDArray[np.float32]
REAL = "biuf"  # NumPy's kinds of real numbers
RATIO = 1032  # no deflate stream unpacks to more than so many times its size
# What NumPy and zipfile raise of damaged headers, members and shapes that overflow.
_DAMAGED = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, SyntaxError, ArithmeticError),
    *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error, TokenError),
)


def read_npy(file: Path, name: str, kinds: str = REAL) -> NDArray[Any]:
    """The array of a .npy, checked: the one reader of such files, for scans, raw data and training.

    Args:
        file: The .npy.
        name: What the array is called in errors.
        kinds: NumPy's kinds of numbers that are accepted.

    Returns:
        The array in the file's type, all finite.

    Raises:
        InputError: The file is damaged or a pickle, or its array is of another kind, too large or
            not finite.
    """
    with _reading(file):
        with file.open("rb") as stream:
            _check_header(file, stream, file.stat().st_size)
        # NumPy checks a memory map against the file's length before anything is read.
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise ValueError("an .npz by another name")
        return require_finite(file, name, mapped, kinds)


def read_array(path: Path) -> Array:
    """A .npy of finite real numbers, at least one, as float32."""
    data = read_npy(path, path.name)
    if data.size == 0:
        raise InputError(f"{path.name} must hold real, finite numbers.")
    with np.errstate(over="ignore"):
        single = np.asarray(data, dtype=np.float32)
    require_within_float32(path, data, single)
    return single


def require_within_float32(file: Path, exact: NDArray[Any], single: NDArray[np.float32]) -> None:
    """``InputError`` where numbers became infinite as they were made float32.

    Args:
        file: Where they come from.
        exact: As they were.
        single: In float32.
    """
    lost = np.isinf(single)
    if lost.any() and bool(np.isfinite(exact[lost]).any()):
        raise InputError(
            f"{file.name} has values beyond the largest of float32 (3.4e38); divide them first."
        )


def npz_names(file: Path) -> list[str]:
    """The names of the arrays in an .npz."""
    with _reading(file), zipfile.ZipFile(file) as bundle:
        return [name.removesuffix(".npy") for name in bundle.namelist()]


def npz_array(file: Path, name: str, kinds: str = REAL) -> NDArray[Any]:
    """One array of an .npz, checked as ``read_npy`` checks that of a .npy.

    Args:
        file: The .npz.
        name: The array's name in it.
        kinds: NumPy's kinds of numbers that are accepted.

    Returns:
        The array in the file's type, all finite.

    Raises:
        InputError: The file is damaged or holds no array of that name, or the array is a pickle, of
            another kind, too large or not finite.
    """
    with _reading(file), zipfile.ZipFile(file) as bundle:
        info = bundle.getinfo(f"{name}.npy")
        _check_member(file, info)
        with bundle.open(info) as stream:
            _check_header(file, stream, info.file_size)
        with bundle.open(info) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        return require_finite(file, name, array, kinds)


def require_finite(file: Path, name: str, array: NDArray[Any], kinds: str = REAL) -> NDArray[Any]:
    """An array read into memory, where it holds finite numbers and is not too large.

    Args:
        file: Where it comes from, for errors.
        name: What it is called in errors.
        array: The array, perhaps a memory map.
        kinds: NumPy's kinds of numbers that are accepted.

    Returns:
        A copy of it in memory.

    Raises:
        InputError: It is of another kind, too large for memory or not finite.
    """
    if array.dtype.kind not in kinds:
        raise InputError(
            f"{file.name} has type {array.dtype} in {name}; save "
            f"{'real ' if kinds == REAL else ''}numbers."
        )
    require_room(file, name, array.nbytes)
    array = np.array(array)
    if array.dtype.kind in "fc" and (bad := int((~np.isfinite(array)).sum())):
        raise InputError(
            f"{file.name} has {bad} non-finite values of {array.size} in {name}; mend or mask "
            "them first."
        )
    return array


def write_array(path: Path, data: NDArray[Any]) -> Path:
    """Write a .npy atomically; returns its path."""
    content = io.BytesIO()
    np.save(content, data, allow_pickle=False)
    return write_bytes(path, content.getvalue())


def kept_array(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any] | None:
    """An array that a cache keeps, not read before it is used.

    Args:
        path: The cache's file.
        shape: What shape it must have.
        dtype: What type.

    Returns:
        The array; None where there is none such.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def keep_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array into a cache; one that cannot be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_array(path, array)
    except (InputError, OSError):
        return


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turns every way in which NumPy or zipfile finds a file damaged into one sentence."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(
            f"{file.name} is truncated, damaged or holds Python objects; save it again with "
            "numpy.save or savez."
        ) from error


def _check_member(file: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member that claims more than its packed bytes can hold."""
    packed = min(info.compress_size, file.stat().st_size)
    known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if not known or info.file_size > packed * RATIO:
        raise InputError(
            f"{file.name} claims {info.file_size} bytes in {info.filename} and holds {packed}; "
            "save it again with numpy.savez."
        )


def _check_header(file: Path, stream: Any, size: int) -> None:
    """Refuse a header that claims more than its member holds, before NumPy makes room for it."""
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(stream)
    claimed = math.prod(shape) * dtype.itemsize  # in whole numbers, which do not overflow
    if claimed > size or min(shape, default=0) < 0:
        raise InputError(
            f"{file.name} claims {claimed} bytes in its header and holds {size}; save it again."
        )
    require_room(file, "its header", claimed)
