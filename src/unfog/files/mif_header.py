"""The header of an MRtrix image: its fields, checked before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

MAGIC = b"mrtrix image\n"
HEADER_CAP = 1 << 22  # bytes of text before the voxels
BITS = np.dtype("?")  # packed, eight a byte
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
} | {"Int8": np.dtype("i1"), "UInt8": np.dtype("u1"), "Bit": BITS}

Fields = dict[str, list[str]]
Table = NDArray[np.float64]
Layout = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class MifHeader:
    """What a header says.

    Args:
        shape: 3 or 4 axes.
        kind: Of the values.
        layout: Of each axis (its direction in memory, +1 or -1; its place, 0 varying fastest).
        affine: From voxel numbers to mm, (4, 4).
        scaling: Offset and scale of the values.
        scheme: x, y, z, b of each volume, (T, 4) in the scanner's axes; None where there is none.
        start: Where the voxels begin.
    """

    shape: tuple[int, ...]
    kind: np.dtype[Any]
    layout: Layout
    affine: Table
    scaling: tuple[float, float]
    scheme: Table | None
    start: int

    @classmethod
    def parsed(cls, file: Path, text: bytes, voxel_cap: int) -> MifHeader:
        """The header of a file.

        Args:
            file: Named in errors.
            text: Its first bytes.
            voxel_cap: The most voxels.

        Returns:
            The header.

        Raises:
            InputError: It is none, or states what cannot be.
        """
        fields, start = _fields(file, text)
        shape = _numbers(file, fields, "dim", int)
        _check_shape(file, shape, voxel_cap)
        kind, layout = _kind(file, fields), _layout(file, fields, len(shape))
        affine, scheme = _affine(file, fields, shape), _scheme(file, fields)
        return cls(shape, kind, layout, affine, _scaling(file, fields), scheme, start)

    @property
    def size(self) -> int:
        """Bytes of the voxels."""
        count = math.prod(self.shape)
        return -(-count // 8) if self.kind == BITS else count * self.kind.itemsize


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


def _layout(file: Path, fields: Fields, axes: int) -> Layout:
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


def _scaling(file: Path, fields: Fields) -> tuple[float, float]:
    """Offset and scale of the values."""
    if "scaling" not in fields:
        return 0.0, 1.0
    found = _numbers(file, fields, "scaling", float)
    if len(found) != 2:
        raise InputError(f"{file.name} has a scaling that is not two numbers; convert it again.")
    return found[0], found[1]


def _affine(file: Path, fields: Fields, shape: tuple[int, ...]) -> Table:
    """From voxel numbers to mm; without a transform the middle of the image lies at 0."""
    sizes = np.array(_numbers(file, fields, "vox", _size)[:3])
    if len(sizes) < 3:
        raise InputError(f"{file.name} has fewer than three sizes of a voxel; convert it again.")
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
