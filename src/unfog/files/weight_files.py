"""Safetensors files: the header is read and checked first, so that nothing is allocated by its word
alone, and our own metadata.

A file is the length of the header (8 bytes, little endian), the header (JSON: ``__metadata__`` and
type, shape and place of each tensor), and the tensors' bytes end to end.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.errors import InputError

LONGEST = 100_000_000  # bytes of a header, the format's own bound
BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}
METADATA = "__metadata__"


@dataclass(frozen=True)
class Header:
    """What a file says of its tensors.

    Args:
        metadata: Texts by name.
        shapes: Of each tensor by name.
        types: The type of each, as the format calls it.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]

    @property
    def count(self) -> int:
        """Numbers in all tensors."""
        return sum(map(math.prod, self.shapes.values()))


def read_header(path: Path) -> Header:
    """The header of a safetensors file, checked against the size of the file: every tensor lies in
    it, is as long as its shape and type say, and overlaps none.

    Raises:
        InputError: The file is missing, or no sound safetensors file.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; give a .safetensors file.")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST + 1
        if length > min(LONGEST, size - 8):
            raise _broken(path, "its header is longer than the file or than the format allows")
        text = file.read(length)
    try:
        held = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _broken(path, "its header is no JSON, or names a tensor twice") from error
    if not isinstance(held, dict):
        raise _broken(path, "its header is no table")
    metadata = held.pop(METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(path, "its metadata are no texts by name")
    _check_places(path, held, size - 8 - length)
    shapes = {name: tuple(entry["shape"]) for name, entry in held.items()}
    return Header(metadata, shapes, {name: entry["dtype"] for name, entry in held.items()})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused where a name comes twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError
    return table


def _broken(path: Path, why: str) -> InputError:
    return InputError(f"{path} is no sound safetensors file: {why}; fetch it again.")


def _check_places(path: Path, entries: Mapping[str, Any], size: int) -> None:
    """``InputError`` unless the tensors fill the file's ``size`` bytes, one after the other."""
    places = []
    for name, entry in entries.items():
        start, end = _place(path, name, entry)
        if end > size:
            raise _broken(path, f"the tensor {name!r} ends at byte {end} of {size} bytes of data")
        places.append((start, end, name))
    before = 0
    for start, end, name in sorted(places):
        if start != before:
            what = "overlaps another tensor" if start < before else "leaves a gap before it"
            raise _broken(path, f"the tensor {name!r} {what}")
        before = end
    if before != size:
        raise _broken(path, f"its tensors end at byte {before} of {size} bytes of data")


def _place(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """First and last byte of a tensor, which its shape and type agree with."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind: Any
    shape: Any
    ends: Any
    kind, shape, ends = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if kind not in BITS:
        raise _broken(path, f"the tensor {name!r} has the unknown type {kind!r}")
    if not (_counts(shape) and _counts(ends)) or len(ends) != 2:
        raise _broken(path, f"the tensor {name!r} has no shape or no place")
    start, end = ends
    if (end - start) * 8 != math.prod(shape) * BITS[kind]:
        raise _broken(
            path, f"the tensor {name!r} claims the shape {shape} of {kind} in {end - start} bytes"
        )
    return start, end


def _counts(values: Any) -> bool:
    """Whether these are a list of numbers from 0 up."""
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file with metadata, the same bytes for the same input.

    Args:
        content: A file without metadata, as safetensors makes it.
        metadata: Texts by name.

    Returns:
        The content; as it was where there are no metadata.
    """
    if not metadata:
        return content
    (length,) = struct.unpack("<Q", content[:8])
    header = {METADATA: dict(sorted(metadata.items())), **json.loads(content[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":")).encode()
    # The tensors' bytes begin at a multiple of 8.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]
