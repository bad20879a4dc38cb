"""Pictures: 8- or 16-bit grey or 8-bit RGB; PNG, JPEG and TIFF."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unfog.errors import InputError

PIXEL_CAP = 1 << 26  # of one picture: 8192 x 8192
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | Path, size: int | None = None) -> NDArray[Any]:
    """One picture (channels, rows, columns), uint8 or uint16, upright by its EXIF; ``size`` cuts
    the central square and resizes it.
    """
    file = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                _check(file, picture)
                picture.verify()  # checksums; it leaves the picture unusable
            with Image.open(file) as picture:
                picture.load()
                array = _array(file, ImageOps.exif_transpose(picture), size)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{file.name} claims more than {PIXEL_CAP} pixels; reduce it first."
        ) from error
    except _BROKEN as error:
        raise InputError(
            f"{file.name} is truncated, damaged or no picture; copy it again or take it out."
        ) from error
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def _check(file: Path, picture: Image.Image) -> None:
    """Refuse, from the header alone, what would be lost or too large."""
    if picture.width * picture.height > PIXEL_CAP:
        raise InputError(
            f"{file.name} claims {picture.width} x {picture.height} pixels, more than "
            f"{PIXEL_CAP}; reduce it first."
        )
    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(
            f"{file.name} holds {getattr(picture, 'n_frames', 1)} pictures; save each as a file "
            "of its own."
        )
    deep = picture.mode not in _DEEP_GREY and any(
        "16" in str(tile[-1]) for tile in getattr(picture, "tile", ())
    )
    if deep or picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "F"):
        raise InputError(
            f"{file.name} is {'16-bit colour' if deep else picture.mode}; convert it to grey or "
            "8-bit RGB."
        )


def _array(file: Path, picture: Image.Image, size: int | None) -> NDArray[Any]:
    if picture.mode in _DEEP_GREY:
        return _deep_grey(file, picture, size)
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (
        255,
        255,
    ):
        raise InputError(f"{file.name} has transparent pixels; flatten it onto a background.")
    plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    return np.asarray(
        plain if size is None else ImageOps.fit(plain, (size, size), Image.Resampling.LANCZOS)
    )


def _deep_grey(file: Path, picture: Image.Image, size: int | None) -> NDArray[Any]:
    array = np.asarray(picture)
    if array.min() < 0 or array.max() > 65535:
        raise InputError(
            f"{file.name} has values {array.min()} to {array.max()}; grey pictures hold 0 to 65535."
        )
    if size is not None:
        wide = Image.fromarray(array.astype(np.float32))
        array = np.clip(
            np.rint(np.asarray(ImageOps.fit(wide, (size, size), Image.Resampling.LANCZOS))),
            0,
            65535,
        )
    return array.astype(np.uint16)
