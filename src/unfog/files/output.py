"""Output files: refused when they exist already, and otherwise written complete or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.errors import InputError


def check_output(
    path: str | Path, inputs: Iterable[str | Path] = (), overwrite: bool = False
) -> Path:
    """Check that an output may be written; commands call it before long work, and ``write_bytes``
    calls it again.

    Args:
        path: The file.
        inputs: Files that were read, which are never written over.
        overwrite: Whether a file may be there already.

    Returns:
        The path.

    Raises:
        InputError: It is an input, a folder, there already, or in no folder.
    """
    target = Path(path)
    if any(target.resolve() == Path(source).resolve() for source in inputs):
        raise InputError(f"The output {target.name!r} is also the input; choose another name.")
    if target.is_dir():
        raise InputError(f"The output {target.name!r} is a folder; name a file in it.")
    if target.exists() and not overwrite:
        raise InputError(
            f"The output {target.name!r} exists; choose another name or ask to overwrite it."
        )
    if not target.parent.is_dir():
        raise InputError(f"The folder of the output {target.name!r} does not exist; make it first.")
    return target


def write_bytes(
    path: str | Path, content: bytes, inputs: Iterable[str | Path] = (), overwrite: bool = False
) -> Path:
    """Write an output file atomically: it is there complete or not at all.

    Args:
        path: The file.
        content: Its bytes.
        inputs: Files that were read, which are never written over.
        overwrite: Whether a file may be there already.

    Returns:
        The path.

    Raises:
        InputError: ``check_output`` refuses it, or the system does.
    """
    target = check_output(path, inputs, overwrite)
    try:
        replace_durably(target, content)
    except OSError as error:
        raise InputError(
            f"The output {target.name!r} cannot be written ({error.strerror}); check the disk "
            "and its permissions."
        ) from error
    return target


def write_json(path: str | Path, value: object, overwrite: bool = False) -> Path:
    """Write a value as JSON, atomically.

    Args:
        path: The file.
        value: Plain data.
        overwrite: Whether a file may be there already.

    Returns:
        The path.
    """
    return write_bytes(path, (json.dumps(value, indent=1) + "\n").encode(), overwrite=overwrite)


def write_text(path: str | Path, text: str, overwrite: bool = False) -> Path:
    """Write text in UTF-8, atomically.

    Args:
        path: The file.
        text: Its text.
        overwrite: Whether a file may be there already.

    Returns:
        The path.
    """
    return write_bytes(path, text.encode("utf-8"), overwrite=overwrite)


def replace_durably(path: Path, content: bytes) -> None:
    """Write a file in place of what is there, if anything, so that either the old or the new one
    is whole at every instant.
    """
    scratch = path.with_name(f".tmp-{path.name}")
    try:
        write_durably(scratch, content)
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file and flush it to the disk (fsync); for a folder that is not in place yet."""
    with open(path, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_image(path: str | Path, array: NDArray[Any], overwrite: bool = False) -> Path:
    """Write a PNG, atomically.

    Args:
        path: The file.
        array: (rows, columns) of uint8 or uint16, or (rows, columns, 3) of uint8.
        overwrite: Whether a file may be there already.

    Returns:
        The path.

    Raises:
        InputError: The name does not end in .png, the array is another, or the file may not be
            written.
    """
    target = Path(path)
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[2] == 3
    if target.suffix.lower() != ".png":
        raise InputError(f"The image {target.name!r} is written as PNG; let its name end in .png.")
    if not (grey and array.dtype in (np.uint8, np.uint16)) and not (
        colour and array.dtype == np.uint8
    ):
        raise InputError(
            f"The image {target.name!r} must be grey uint8 or uint16, or RGB uint8, not "
            f"{array.shape} {array.dtype}."
        )
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(content, "PNG")
    return write_bytes(target, content.getvalue(), overwrite=overwrite)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk (fsync); only POSIX systems can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
