"""MRtrix images, .mif and .mif.gz: voxels in any order of strides, with the gradient table inside.

The header is text, a field a line. ``layout`` says for each axis whether memory runs along it or
against it (+ or -) and how slowly it varies (0 fastest); ``transform`` has the axes' directions and
the first voxel's place, in mm of the scanner's axes; ``dw_scheme`` has a row x y z b for each
volume, in the scanner's axes too. Data are written as float32 in the order of what was read;
fields of free text (comments, command_history) are dropped.
"""

from __future__ import annotations

import gzip
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.gzipped import content_of, unpacked
from unfog.files.mif_header import BITS, HEADER_CAP, MAGIC, Layout, MifHeader, Table
from unfog.files.nifti import VOXEL_CAP, Volume, new_volume
from unfog.files.numpy_files import require_within_float32
from unfog.files.output import write_bytes

SUFFIXES = (".mif", ".mif.gz")


@dataclass(frozen=True)
class MifVolume(Volume):
    """A volume of an MRtrix image.

    Args:
        layout: Of each axis (its direction in memory, +1 or -1; its place, 0 varying fastest).
        scheme: x, y, z, b of each volume, (T, 4) in the scanner's axes; None where there is none.
    """

    layout: Layout = ()
    scheme: Table | None = None


def read_mif(path: str | Path, voxel_cap: int = VOXEL_CAP) -> MifVolume:
    """Read an image of 3 or 4 axes; a series of one volume is a volume.

    Args:
        path: The file.
        voxel_cap: The most voxels.

    Returns:
        The volume, with a warning and a note where voxels were not finite, which become 0.

    Raises:
        InputError: It is damaged, oversized, complex, or no MRtrix image.
    """
    file = Path(path)
    with unpacked(file) as (stream, most):
        header = MifHeader.parsed(file, stream.read(HEADER_CAP), voxel_cap)
        if header.size > most:
            raise InputError(
                f"{file.name} states {header.size} bytes of voxels and can hold {most} at most; "
                "copy it again."
            )
        content = content_of(file, stream, header.start, header.size)
    data, notes = _voxels(file, header, content)
    layout = header.layout
    for note in notes:
        warnings.warn(note, stacklevel=2)
    if data.shape[3:] == (1,):
        data, layout = data[..., 0], _ordered(layout, 3)
    plain = new_volume(data, header.affine)
    return MifVolume(
        plain.data, plain.affine, plain.header, file, tuple(notes), layout, header.scheme
    )


def write_mif(path: str | Path, data: NDArray[Any], like: MifVolume) -> Path:
    """Write data on the grid of an image as float32, in its order of strides.

    Args:
        path: The file, .mif or .mif.gz.
        data: (X, Y, Z[, T]).
        like: Whose grid and layout it gets, and whose gradient table if it has as many volumes.

    Returns:
        The path.

    Raises:
        InputError: The grids differ, or the file may not be written.
    """
    array = np.asarray(data, dtype="<f4")
    if array.shape[:3] != like.data.shape[:3]:
        raise InputError(
            f"The data has shape {array.shape[:3]} and its image {like.data.shape[:3]}; write it "
            "on its own grid."
        )
    layout = _ordered(like.layout, array.ndim)
    text = _header(array.shape, layout, like)
    # The voxels begin at a multiple of four bytes after the header, whose length counts itself.
    stem = f"{text}file: . "
    offset = len(stem) + len("\nEND\n")
    offset += len(str(offset + 8))
    offset += (4 - offset) % 4
    head = f"{stem}{offset}\nEND\n".encode().ljust(offset, b"\0")
    content = head + _stored(array, layout).tobytes()
    packed = gzip.compress(content, 6, mtime=0) if str(path).endswith(".gz") else content
    return write_bytes(path, packed, [like.path] if like.path else [])


def _voxels(file: Path, header: MifHeader, content: bytes) -> tuple[NDArray[np.float32], list[str]]:
    """The voxels (X, Y, Z[, T]) times scale plus offset, those that are not finite 0, and notes."""
    shape, layout, (offset, scale) = header.shape, header.layout, header.scaling
    if header.kind == BITS:
        flat = np.unpackbits(np.frombuffer(content, np.uint8), count=math.prod(shape))
    else:
        flat = np.frombuffer(content, header.kind)
    # In memory the slowest axis comes first.
    slow_first = sorted(range(len(shape)), key=lambda axis: -layout[axis][1])
    data = flat.reshape([shape[axis] for axis in slow_first]).transpose(np.argsort(slow_first))
    data = data[tuple(slice(None, None, sign) for sign, _ in layout)]
    with np.errstate(over="ignore", invalid="ignore"):
        exact = data if (offset, scale) == (0, 1) else data * scale + offset
        out = np.ascontiguousarray(exact, dtype=np.float32)
    require_within_float32(file, exact, out)
    bad = ~np.isfinite(out)
    if not bad.any():
        return out, []
    out = np.where(bad, np.float32(0), out)
    count = int(bad.sum())
    return out, [f"{file.name} has {count} non-finite voxels of {out.size}; they are read as 0."]


def _ordered(layout: Layout, axes: int) -> Layout:
    """A layout for so many axes: lacking ones vary slowest, those left over close up."""
    kept = [*layout[:axes], *((1, len(layout) + k) for k in range(axes - len(layout)))]
    places = sorted(place for _, place in kept)
    return tuple((sign, places.index(place)) for sign, place in kept)


def _header(shape: tuple[int, ...], layout: Layout, like: MifVolume) -> str:
    """The text of a header up to where the voxels lie."""
    sizes = np.linalg.norm(like.affine[:3, :3], axis=0)
    spacing = [_text(value) for value in sizes] + ["1"] * (len(shape) - 3)
    signs = ",".join(f"{'-' if sign < 0 else '+'}{place}" for sign, place in layout)
    lines = [
        MAGIC.decode().strip(),
        f"dim: {','.join(map(str, shape))}",
        f"vox: {','.join(spacing)}",
        f"layout: {signs}",
        "datatype: Float32LE",
    ]
    axes = np.concatenate([like.affine[:3, :3] / sizes, like.affine[:3, 3:]], 1)
    lines += [f"transform: {', '.join(_text(value) for value in row)}" for row in axes]
    if like.scheme is not None and shape[3:] == (len(like.scheme),):
        lines += [f"dw_scheme: {','.join(_text(value) for value in row)}" for row in like.scheme]
    return "\n".join(lines) + "\n"


def _text(value: float) -> str:
    return f"{value + 0.0:.15g}"  # -0 becomes 0


def _stored(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The voxels in the order of memory, the slowest axis first."""
    turned = array[tuple(slice(None, None, sign) for sign, _ in layout)]
    return np.ascontiguousarray(
        turned.transpose(sorted(range(array.ndim), key=lambda axis: -layout[axis][1]))
    )
