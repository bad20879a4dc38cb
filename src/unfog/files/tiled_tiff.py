"""TIFF files written tile by tile, for pictures larger than memory; by the package tifffile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.errors import MissingExtra
from unfog.files.output import check_output

SIDE = 256  # pixels of a tile


def write_tiled(
    path: Path, size: tuple[int, int], tiles: Iterator[NDArray[np.uint8]], dpi: float | None = None
) -> Path:
    """Write a picture in colour as tiles that come one after the other, row by row. The file states
    no time and no program's version, so that the same tiles are the same bytes.

    Args:
        path: The file, which is new.
        size: Rows and columns.
        tiles: Each (256, 256, 3), filled up at the lower and the right border.
        dpi: Dots an inch; None states none.

    Returns:
        The path.

    Raises:
        InputError: The file may not be written, or tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtra("pictures", "tifffile") from error
    target = check_output(path)
    tifffile.imwrite(
        target,
        tiles,
        shape=(*size, 3),
        dtype=np.uint8,
        tile=(SIDE, SIDE),
        photometric="rgb",
        compression="adobe_deflate",
        resolution=None if dpi is None else (dpi, dpi),
        resolutionunit=None if dpi is None else "inch",
        software="unfog",
        metadata=None,
    )
    return target
