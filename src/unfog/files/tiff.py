"""TIFF pictures by their tags: what Pillow reads, and what it reads as something else.

Pillow halves colour of more than 8 bits to 8 or mixes up its planes, does not turn grey of 16 bits
over where white is 0, and knows no such grey of the other byte order. The tags tell; what Pillow
cannot read is read by the package tifffile.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF in both byte orders
KINDS = {3: "H", 4: "I", 16: "Q"}  # types of whole numbers in a directory, as struct's letters
MOST = 64  # numbers in a tag that matters here; offsets of strips may be many more
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # PhotometricInterpretation
REMEDY = "convert it to grey or 8-bit RGB"


@dataclass(frozen=True)
class Tags:
    """What the first directory of a file says of its samples.

    Args:
        bits: BitsPerSample, the largest.
        samples: SamplesPerPixel.
        photometric: PhotometricInterpretation.
        orientation: Orientation, 1 to 8.
        size: (rows, columns).
        further: Whether there are further pictures.
    """

    bits: int
    samples: int
    photometric: int
    orientation: int
    size: tuple[int, int]
    further: bool

    @property
    def deep_colour(self) -> bool:
        """Whether there is more than grey, of more than 8 bits."""
        return self.bits > 8 and self.samples > 1

    def positive(self, array: NDArray[Any]) -> NDArray[Any]:
        """The values with black as 0."""
        return (1 << self.bits) - 1 - array if self.photometric == WHITE_IS_ZERO else array


def tags_of(file: Path) -> Tags | None:
    """The tags of a TIFF file; None where it is another file, or has none that can be read."""
    try:
        with file.open("rb") as stream:
            if stream.read(4) not in MAGIC:
                return None
            tags, further = _directory(stream)
        return Tags(
            bits=max(tags.get(258, (1,))),
            samples=tags.get(277, (1,))[0],
            photometric=tags.get(262, (BLACK_IS_ZERO,))[0],
            orientation=tags.get(274, (1,))[0],
            size=(tags[257][0], tags[256][0]),
            further=further,
        )
    except (OSError, LookupError, ValueError, struct.error):
        return None


def _directory(stream: BinaryIO) -> tuple[dict[int, tuple[int, ...]], bool]:
    """The numbers of the first directory by tag, and whether another follows."""
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]  # BigTIFF: offsets and counts of 8 bytes
    number, counter, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")

    def read(form: str) -> tuple[Any, ...]:
        return struct.unpack(order + form, stream.read(struct.calcsize(order + form)))

    stream.seek(struct.unpack_from(order + number, head, 8 if big else 4)[0])
    entries = [read(entry) for _ in range(min(read(counter)[0], 1 << 16))]
    further = read(number)[0] != 0
    tags = {}
    for tag, kind, count, content in entries:
        form = f"{order}{count}{KINDS.get(kind, 'B')}"
        if kind not in KINDS or not 0 < count <= MOST:
            continue
        if struct.calcsize(form) > len(content):  # the numbers lie where this says
            stream.seek(struct.unpack(order + number, content)[0])
            content = stream.read(struct.calcsize(form))
        tags[tag] = struct.unpack_from(form, content)
    return tags, further


def read_deep(file: Path, tags: Tags) -> NDArray[Any]:
    """A picture that Pillow cannot read, upright.

    Args:
        file: The TIFF.
        tags: Its tags.

    Returns:
        (rows, columns) or (rows, columns, 3), uint8 or uint16, black 0.

    Raises:
        InputError: It is of another kind, damaged, or compressed in a way that tifffile reads
            with another package alone.
    """
    colour = {1: (WHITE_IS_ZERO, BLACK_IS_ZERO), 2: (BLACK_IS_ZERO,), 3: (RGB,), 4: (RGB,)}
    if tags.photometric not in colour.get(tags.samples, ()):
        raise InputError(f"{file.name} is {tags.bits}-bit colour of an unusual kind; {REMEDY}.")
    array = _decoded(file)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{file.name} holds {array.dtype}; {REMEDY}.")
    if tags.samples in (2, 4):
        if (array[..., -1] != (1 << tags.bits) - 1).any():
            raise InputError(f"{file.name} has transparent pixels; flatten it onto a background.")
        array = array[..., :-1]
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return _upright(tags.positive(array), tags.orientation)


def _decoded(file: Path) -> NDArray[Any]:
    """The samples (rows, columns[, samples]) of the first picture."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtra("pictures", "tifffile") from error
    broken = (tifffile.TiffFileError, OSError, ValueError, RuntimeError, LookupError, zlib.error)
    try:
        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages[0]
            array = np.asarray(page.asarray())
            return array if page.planarconfig == 1 else np.moveaxis(array, 0, -1)
    except broken as error:
        if "imagecodecs" in str(error):
            raise InputError(
                f"{file.name} is compressed in a way that needs another package; install it (pip "
                "install imagecodecs) or save the picture without compression."
            ) from error
        raise InputError(
            f"{file.name} is truncated, damaged or no picture; copy it again or take it out."
        ) from error


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The picture with its first row on top and its first column left (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array
