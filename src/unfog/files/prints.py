"""Pictures of a physical size: PNG and TIFF that state their dots an inch, and PDF of that size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.errors import InputError
from unfog.files.output import write_bytes

INCH = 25.4  # mm
LEAST, MOST = 10.0, 4800.0  # dots an inch
# What Pillow writes by suffix. A PDF states no time, so that the same pictures are the same bytes.
_KINDS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
    ".pdf": {"format": "PDF", "creationDate": None, "modDate": None},
}


def check_dpi(dpi: float) -> float:
    """The dots an inch; ``InputError`` for what no printer has."""
    if not LEAST <= dpi <= MOST:
        raise InputError(f"Dots an inch are {LEAST:g} to {MOST:g}, not {dpi:g}.")
    return dpi


def millimetres(points: int, dpi: float) -> float:
    """How long so many points are."""
    return points / dpi * INCH


def write_print(path: Path, picture: NDArray[np.uint8], dpi: float) -> Path:
    """Write a picture of a physical size, atomically.

    Args:
        path: A .png, .tiff or .pdf file; a PDF has one page of the picture's size.
        picture: (rows, columns) grey or (rows, columns, 3).
        dpi: Dots an inch.

    Returns:
        The path.

    Raises:
        InputError: The name ends otherwise, or the file may not be written.
    """
    if path.suffix not in _KINDS:
        raise InputError(f"A print is a {', '.join(_KINDS)} file, not {path.name}.")
    kind = _KINDS[path.suffix]
    size = {"resolution": dpi} if path.suffix == ".pdf" else {"dpi": (dpi, dpi)}
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(content, **kind, **size)
    return write_bytes(path, content.getvalue())
