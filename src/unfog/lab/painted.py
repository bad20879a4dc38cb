"""Masks that are painted in the browser over a picture that was dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unfog.errors import InputError
from unfog.files.pictures import read_image
from unfog.report import figures
from unfog.report.pictures import png, shown

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
HALF = 128  # of 255: from here on a pixel is painted


def is_picture(path: Path) -> bool:
    """Whether a file is one that can be painted over."""
    return path.suffix in ENDINGS


def size_of(path: Path) -> tuple[int, int]:
    """Columns and rows of a picture as commands read it, upright."""
    rows, columns = read_image(path).shape[1:]
    return columns, rows


def upright_png(path: Path) -> bytes:
    """A picture as commands read it, with 8 bits, for the browser; ``InputError`` of a damaged
    one.
    """
    pixels = read_image(path)
    high = 255.0 if pixels.dtype == np.uint8 else figures.window(pixels)[1]
    return png(shown(pixels, 0.0, high))


def keep_as_mask(path: Path) -> None:
    """Rewrite a picture that a browser painted, which has colours and an alpha, as one channel of
    0 and 255.

    Raises:
        InputError: It is no PNG, or damaged.
    """
    from PIL import Image

    if path.suffix != ".png":
        raise InputError("A painted mask is a PNG; paint it again.")
    painted = read_image(path).max(0) >= HALF
    Image.fromarray(255 * painted.astype(np.uint8)).save(path, "PNG")
