"""Pictures in PNG, JPEG and TIFF: grey of 8 or 16 bits, or RGB of 8; in TIFF of 16 too."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from unfog.errors import InputError
from unfog.files.tiff import Tags, read_deep, tags_of

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
_PNG = b"\x89PNG\r\n\x1a\n"
_DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | Path, size: int | None = None) -> NDArray[Any]:
    """A picture read as (channels, rows, columns), uint8 or uint16, turned upright by its EXIF;
    with ``size`` its central square, resized to that side in pixels.
    """
    file = Path(path)
    try:
        _require_end(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            array = _pixels(file, tags_of(file), size)
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


def _require_end(file: Path) -> None:
    """``ValueError`` for a PNG that is cut in its last bytes: Pillow asks for no end."""
    with file.open("rb") as stream:
        if stream.read(len(_PNG)) != _PNG:
            return
        kind = b""
        while kind != b"IEND":  # from chunk to chunk: length, kind, content, checksum
            head = stream.read(8)
            if len(head) < 8:
                raise ValueError("no IEND")
            kind = head[4:]
            stream.seek(int.from_bytes(head[:4], "big"), 1)
            if len(stream.read(4)) < 4:
                raise ValueError("a chunk is cut")


def _pixels(file: Path, tags: Tags | None, size: int | None) -> NDArray[Any]:
    """The pixels by Pillow where it reads them right, else by ``tags``, those of a TIFF."""
    if tags is None:
        return _by_pillow(file, tags, size)
    if tags.deep_colour:
        return _by_tags(file, tags, size)
    try:
        return _by_pillow(file, tags, size)
    except UnidentifiedImageError:
        return _by_tags(file, tags, size)


def _by_pillow(file: Path, tags: Tags | None, size: int | None) -> NDArray[Any]:
    """The pixels of a picture that Pillow reads; ``tags`` where it is a TIFF."""
    with Image.open(file) as picture:
        _check(file, picture)
        picture.verify()  # checksums; it leaves the picture unusable
    with Image.open(file) as picture:
        picture.load()
        return _array(file, ImageOps.exif_transpose(picture), tags, size)


def _by_tags(file: Path, tags: Tags, size: int | None) -> NDArray[Any]:
    """The pixels of a TIFF that Pillow does not read."""
    _check_size(file, *tags.size)
    if tags.further:
        raise InputError(f"{file.name} holds several pictures; save each as a file of its own.")
    return _fitted(read_deep(file, tags), size)


def _check_size(file: Path, rows: int, columns: int) -> None:
    """``InputError`` for a picture that is too large."""
    if rows * columns > PIXEL_CAP:
        raise InputError(
            f"{file.name} claims {columns} x {rows} pixels, more than {PIXEL_CAP}; reduce it first."
        )


def _check(file: Path, picture: Image.Image) -> None:
    """``InputError``, by the header alone, for a picture that is too large, or that could not be
    read without loss.
    """
    _check_size(file, picture.height, picture.width)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise InputError(f"{file.name} holds {frames} pictures; save each as a file of its own.")
    deep = picture.mode not in _DEEP_GREY and any(
        "16" in _stored_mode(tile[-1]) for tile in getattr(picture, "tile", ())
    )
    if deep or picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "F"):
        raise InputError(
            f"{file.name} is {'16-bit colour' if deep else picture.mode}; convert it to grey or "
            "8-bit RGB."
        )


def _stored_mode(arguments: Any) -> str:
    """Pillow's name of how pixels are stored, such as RGB;16B, the first argument of a decoder."""
    return str(arguments if isinstance(arguments, str) else (*(arguments or ()), "")[0])


def _array(file: Path, picture: Image.Image, tags: Tags | None, size: int | None) -> NDArray[Any]:
    """The pixels, (rows, columns) or (rows, columns, 3)."""
    if picture.mode in _DEEP_GREY:
        array = np.asarray(picture)
        return _deep_grey(file, array if tags is None else tags.positive(array), size)
    if picture.has_transparency_data:
        opacity = picture.convert("RGBA").getchannel("A").getextrema()
        if opacity != (255, 255):
            raise InputError(f"{file.name} has transparent pixels; flatten it onto a background.")
    plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    if size is not None:
        plain = ImageOps.fit(plain, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(plain)


def _deep_grey(file: Path, array: NDArray[Any], size: int | None) -> NDArray[Any]:
    """The pixels (rows, columns) of a grey picture of 16 bits, uint16."""
    if array.min() < 0 or array.max() > 65535:
        raise InputError(
            f"{file.name} has values {array.min()} to {array.max()}; grey pictures hold 0 to 65535."
        )
    return _fitted(array.astype(np.uint16), size)


def _fitted(array: NDArray[Any], size: int | None) -> NDArray[Any]:
    """The pixels, with ``size`` their central square resized to that side, in their own depth."""
    if size is None:
        return array
    if array.ndim == 3:
        return np.stack([_fitted(channel, size) for channel in np.moveaxis(array, 2, 0)], 2)
    wide = Image.fromarray(array.astype(np.float32))
    resized = np.asarray(ImageOps.fit(wide, (size, size), Image.Resampling.LANCZOS))
    top = np.iinfo(array.dtype).max
    return np.asarray(np.clip(np.rint(resized), 0, top).astype(array.dtype))


def through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """What JPEG of a quality from 1 to 95 leaves of a picture (rows, columns) or (rows, columns,
    3), of the same shape.
    """
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=quality)
    with Image.open(kept) as picture:
        return np.array(picture)
