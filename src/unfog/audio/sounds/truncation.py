"""Whether a file of sound ends where it says it does, where libsndfile does not look."""

from __future__ import annotations

import struct
from pathlib import Path

from unfog.errors import InputError

_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that a writer of a stream leaves open
_PAGE = 1 << 17  # bytes at the end of an OGG file that hold its last page
_LAST = 4  # flag of a stream's last page


def require_whole(path: Path) -> None:
    """``InputError`` for a WAV that is shorter than its header says, and for an OGG whose last page
    is not marked as the last. A FLAC's frames are counted when it is read.
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
            if page < 0 or not tail[page + 5] & _LAST:
                _refuse(path, "no last page")


def _refuse(path: Path, holds: str) -> None:
    raise InputError(f"{path.name} is cut short: it holds {holds}; get it again.")
