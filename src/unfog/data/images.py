"""``images``: a folder of pictures, 8- or 16-bit grey or 8-bit RGB, of one size; PNG, JPEG and TIFF.

16-bit values are kept exactly. What Pillow would quietly lose (16-bit colour, transparency, CMYK, further pages) or read in
part (a truncated file) is refused with the file's name.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unfog.data.dataset import ArrayDataset, datasets
from unfog.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
PIXEL_CAP = 1 << 26  # of one picture: 8192 x 8192
MEMORY_CAP = 8 << 30  # bytes of a whole folder
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning)
_DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | Path, size: int | None = None) -> NDArray[Any]:
    """One picture (channels, rows, columns), uint8 or uint16, upright by its EXIF; ``size`` cuts the central square and resizes it."""
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
        raise InputError(f"{file.name} claims more than {PIXEL_CAP} pixels; reduce it first.") from error
    except _BROKEN as error:
        raise InputError(f"{file.name} is truncated, damaged or no picture; copy it again or take it out.") from error
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def _check(file: Path, picture: Image.Image) -> None:
    """Refuse, from the header alone, what would be lost or too large."""
    if picture.width * picture.height > PIXEL_CAP:
        raise InputError(f"{file.name} claims {picture.width} x {picture.height} pixels, more than {PIXEL_CAP}; reduce it first.")
    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(f"{file.name} holds {getattr(picture, 'n_frames', 1)} pictures; save each as a file of its own.")
    deep = picture.mode not in _DEEP_GREY and any("16" in str(tile[-1]) for tile in getattr(picture, "tile", ()))
    if deep or picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "F"):
        raise InputError(f"{file.name} is {'16-bit colour' if deep else picture.mode}; convert it to grey or 8-bit RGB.")


def _array(file: Path, picture: Image.Image, size: int | None) -> NDArray[Any]:
    if picture.mode in _DEEP_GREY:
        return _deep_grey(file, picture, size)
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise InputError(f"{file.name} has transparent pixels; flatten it onto a background.")
    plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    return np.asarray(plain if size is None else ImageOps.fit(plain, (size, size), Image.Resampling.LANCZOS))


def _deep_grey(file: Path, picture: Image.Image, size: int | None) -> NDArray[Any]:
    array = np.asarray(picture)
    if array.min() < 0 or array.max() > 65535:
        raise InputError(f"{file.name} has values {array.min()} to {array.max()}; grey pictures hold 0 to 65535.")
    if size is not None:
        wide = Image.fromarray(array.astype(np.float32))
        array = np.clip(np.rint(np.asarray(ImageOps.fit(wide, (size, size), Image.Resampling.LANCZOS))), 0, 65535)
    return array.astype(np.uint16)


@datasets.register("images")
class Images(ArrayDataset):
    """The pictures under ``path`` in the order of their names, held in memory in their own depth.

    ``size`` cuts the central square of each and resizes it (Lanczos); without it all must be of one size. ``label`` makes the
    first level of folders the condition ``label``; ``classes`` names them. The codec's range is the depth's, 0 to 255 or 65535.
    """

    def __init__(self, path: str, size: int | None = None, label: bool = False) -> None:
        folder = Path(path)
        files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not files:
            raise InputError(f"{folder.name} holds no pictures ({', '.join(SUFFIXES)}); name the folder that does.")
        x = _stack(files, size)
        self.classes = tuple(sorted({_class(folder, file) for file in files})) if label else ()
        conditions = {"label": {"name": "class", "count": len(self.classes)}} if label else {}
        values = {"label": np.array([self.classes.index(_class(folder, file)) for file in files])} if label else {}
        codec = {"name": "range", "low": 0, "high": 255 if x.dtype == np.uint8 else 65535}
        super().__init__("images", x, codec, conditions, values, {"size": size, "classes": self.classes})


def _stack(files: list[Path], size: int | None) -> NDArray[Any]:
    """All pictures as (files, channels, rows, columns)."""
    first = read_image(files[0], size)
    if first.nbytes * len(files) > MEMORY_CAP:
        raise InputError(f"{len(files)} pictures like {files[0].name} need more than {MEMORY_CAP >> 30} GB; give a smaller size.")
    x = np.empty((len(files), *first.shape), first.dtype)
    for place, file in enumerate(files):
        picture = read_image(file, size)
        if picture.shape != first.shape or picture.dtype != first.dtype:
            kinds = [f"{a.shape[2]} x {a.shape[1]}, {a.shape[0]} channel(s), {a.dtype}" for a in (picture, first)]
            raise InputError(f"{file.name} is {kinds[0]} but {files[0].name} is {kinds[1]}; make them alike, or give size=N for the size.")
        x[place] = picture
    return x


def _class(folder: Path, file: Path) -> str:
    parts = file.relative_to(folder).parts if folder.is_dir() else ()
    if len(parts) < 2:
        raise InputError(f"{file.name} lies in no subfolder; put each class in a folder of its own, or leave label out.")
    return parts[0]
