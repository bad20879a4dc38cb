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
from unfog.files.nifti import VOXEL_CAP, Volume, new_volume
from unfog.files.output import write_bytes

SUFFIXES = (".mif", ".mif.gz")
MAGIC = b"mrtrix image\n"
HEADER_CAP = 1 << 22  # bytes of text before the voxels
TYPES = {
    f"{name}{end}": np.dtype(f"{order}{kind}")
    for name, kind in {
        "UInt16": "u2",
        "Int16": "i2",
        "UInt32": "u4",
        "Int32": "i4",
        "UInt64": "u8",
        "Int64": "i8",
        "Float16": "f2",
        "Float32": "f4",
        "Float64": "f8",
    }.items()
    for end, order in (("LE", "<"), ("BE", ">"), ("", "="))
} | {"Int8": np.dtype("i1"), "UInt8": np.dtype("u1"), "Bit": np.dtype("?")}

Fields = dict[str, list[str]]
Table = NDArray[np.float64]


@dataclass(frozen=True)
class MifVolume(Volume):
    """A volume of an MRtrix image.

    Args:
        layout: Of each axis (its direction in memory, +1 or -1; its place, 0 varying fastest).
        scheme: x, y, z, b of each volume, (T, 4) in the scanner's axes; None where there is none.
    """

    layout: tuple[tuple[int, int], ...] = ()
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
        fields, start = _fields(file, stream.read(HEADER_CAP))
        shape = _numbers(file, fields, "dim", int)
        kind, layout = _kind(file, fields), _layout(file, fields, len(shape))
        _check_shape(file, shape, voxel_cap)
        count = math.prod(shape)
        size = -(-count // 8) if kind == np.dtype("?") else count * kind.itemsize
        if size > most:
            raise InputError(
                f"{file.name} states {size} bytes of voxels and can hold {most} at most; copy it "
                "again."
            )
        content = content_of(file, stream, start, size)
    data, notes = _voxels(file, fields, content, kind, shape, layout)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    if data.shape[3:] == (1,):
        data, layout = data[..., 0], _ordered(layout, 3)
    plain = new_volume(data, _affine(file, fields, shape))
    return MifVolume(
        plain.data, plain.affine, plain.header, file, tuple(notes), layout, _scheme(file, fields)
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


def _fields(file: Path, text: bytes) -> tuple[Fields, int]:
    """The fields of a header, and where the voxels begin."""
    if not text.startswith(MAGIC):
        raise InputError(f"{file.name} is no MRtrix image; it does not begin as one.")
    end = text.find(b"\nEND")
    if end < 0:
        raise InputError(f"{file.name} has no end of its header; copy it again.")
    fields: Fields = {}
    for line in text[len(MAGIC) : end].decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), []).append(value.strip())
    where = " ".join(fields.get("file", [""])).split()
    if len(where) != 2 or where[0] != "." or not where[1].isdigit() or int(where[1]) < end:
        raise InputError(
            f"{file.name} does not hold its voxels itself (file: {' '.join(where)}); convert it "
            "with mrconvert to .mif."
        )
    return fields, int(where[1])


def _numbers(file: Path, fields: Fields, name: str, kind: Any) -> tuple[Any, ...]:
    """The numbers of one field."""
    try:
        found = tuple(kind(word) for word in fields[name][0].replace(",", " ").split())
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{file.name} has no readable {name} in its header; convert it again."
        ) from error
    if not found or not all(math.isfinite(value) for value in found):
        raise InputError(f"{file.name} has a {name} that is not finite; convert it again.")
    return found


def _check_shape(file: Path, shape: tuple[int, ...], voxel_cap: int) -> None:
    if not 3 <= len(shape) <= 4 or min(shape) < 1:
        raise InputError(
            f"{file.name} has {len(shape)} axes, or one without voxels; give an image of 3 or 4."
        )
    if math.prod(shape) > voxel_cap:
        raise InputError(
            f"{file.name} states {math.prod(shape)} voxels, more than {voxel_cap}; crop it."
        )


def _kind(file: Path, fields: Fields) -> np.dtype[Any]:
    name = fields.get("datatype", [""])[0]
    if name not in TYPES:
        raise InputError(
            f"{file.name} holds values of type {name or 'none'}; convert it with mrconvert "
            "-datatype float32, a complex one by its magnitude."
        )
    return TYPES[name]


def _layout(file: Path, fields: Fields, axes: int) -> tuple[tuple[int, int], ...]:
    words = fields.get("layout", [""])[0].replace(",", " ").split()
    try:
        found = tuple((-1 if word.startswith("-") else 1, int(word.lstrip("+-"))) for word in words)
    except ValueError:
        found = ()
    if sorted(place for _, place in found) != list(range(axes)):
        raise InputError(
            f"{file.name} has the layout {' '.join(words)!r} for {axes} axes; convert it again."
        )
    return found


def _voxels(
    file: Path,
    fields: Fields,
    content: bytes,
    kind: np.dtype[Any],
    shape: tuple[int, ...],
    layout: tuple[tuple[int, int], ...],
) -> tuple[NDArray[np.float32], list[str]]:
    """The voxels (X, Y, Z[, T]) times scale plus offset, those that are not finite 0, and notes."""
    if kind == np.dtype("?"):
        flat = np.unpackbits(np.frombuffer(content, np.uint8), count=math.prod(shape))
    else:
        flat = np.frombuffer(content, kind)
    # In memory the slowest axis comes first.
    slow_first = sorted(range(len(shape)), key=lambda axis: -layout[axis][1])
    data = flat.reshape([shape[axis] for axis in slow_first]).transpose(np.argsort(slow_first))
    data = data[tuple(slice(None, None, sign) for sign, _ in layout)]
    offset, scale = _numbers(file, fields, "scaling", float) if "scaling" in fields else (0.0, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.ascontiguousarray(
            data if (offset, scale) == (0, 1) else data * scale + offset, dtype=np.float32
        )
    bad = ~np.isfinite(out)
    if not bad.any():
        return out, []
    out = np.where(bad, np.float32(0), out)
    count = int(bad.sum())
    return out, [f"{file.name} has {count} non-finite voxels of {out.size}; they are read as 0."]


def _affine(file: Path, fields: Fields, shape: tuple[int, ...]) -> Table:
    """From voxel numbers to mm; without a transform the middle of the image lies at 0."""
    sizes = np.array(_numbers(file, fields, "vox", _size)[:3])
    affine = np.eye(4)
    rows = [row.replace(",", " ").split() for row in fields.get("transform", [])]
    if rows:
        try:
            affine[:3] = np.array(rows[:3], dtype=float).reshape(3, 4)
        except ValueError as error:
            raise InputError(f"{file.name} has no transform of 3 x 4 numbers.") from error
    else:
        affine[:3, 3] = -sizes * (np.array(shape[:3]) - 1) / 2
    affine[:3, :3] = affine[:3, :3] * sizes
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(f"{file.name} has axes without a volume; correct its vox or transform.")
    return affine


def _size(word: str) -> float:
    """A size of a voxel; 1 where an axis has none, as that of volumes."""
    value = float(word)
    return value if math.isfinite(value) else 1.0


def _scheme(file: Path, fields: Fields) -> Table | None:
    rows = [row.replace(",", " ").split() for row in fields.get("dw_scheme", [])]
    if not rows:
        return None
    try:
        table = np.array(rows, dtype=float)
    except ValueError as error:
        raise InputError(f"{file.name} has a dw_scheme that is no table of numbers.") from error
    if table.ndim != 2 or table.shape[1] < 4:
        raise InputError(f"{file.name} has a dw_scheme without four columns x y z b.")
    return table[:, :4]


def _ordered(layout: tuple[tuple[int, int], ...], axes: int) -> tuple[tuple[int, int], ...]:
    """A layout for so many axes: lacking ones vary slowest, those left over close up."""
    kept = [*layout[:axes], *((1, len(layout) + k) for k in range(axes - len(layout)))]
    places = sorted(place for _, place in kept)
    return tuple((sign, places.index(place)) for sign, place in kept)


def _header(shape: tuple[int, ...], layout: tuple[tuple[int, int], ...], like: MifVolume) -> str:
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


def _stored(array: NDArray[Any], layout: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """The voxels in the order of memory, the slowest axis first."""
    turned = array[tuple(slice(None, None, sign) for sign, _ in layout)]
    return np.ascontiguousarray(
        turned.transpose(sorted(range(array.ndim), key=lambda axis: -layout[axis][1]))
    )
