"""Whether a file of sound ends where it says it does, where libsndfile does not look."""

from __future__ import annotations

import struct
from pathlib import Path

from unfog.errors import InputError

_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that a writer of a stream leaves open
_PAGE = 1 << 17  # bytes at the end of an OGG file that hold its last page
_HEAD = 27  # bytes of a page ahead of its table of segments, the last of which counts them


def require_whole(path: Path) -> None:
    """``InputError`` for a WAV that is shorter than its header says, and for an OGG whose last page
    holds less than its table of segments says: writers leave the mark of a last page out. A FLAC's
    frames are counted when it is read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            stated = struct.unpack("<I", head[4:8])[0]
            if stated not in _UNKNOWN and stated + 8 > size + 1:
                _refuse(path, f"{size} bytes of {stated + 8}")
        if head[:4] == b"OggS":
            stream.seek(max(0, size - _PAGE))
            tail = stream.read()
            page = tail.rfind(b"OggS")
            if page < 0 or len(tail) < _page_end(tail, page):
                _refuse(path, "a part of its last page")


def _page_end(tail: bytes, page: int) -> int:
    """Where a page of an OGG file ends, or its head where that is not whole."""
    body = page + _HEAD
    if len(tail) < body or len(tail) < body + tail[body - 1]:
        return body + 256
    sizes = tail[body : body + tail[body - 1]]
    return body + len(sizes) + sum(sizes)


def _refuse(path: Path, holds: str) -> None:
    raise InputError(f"{path.name} is cut short: it holds {holds}; get it again.")
