"""Files that may be packed by gzip: unpacked as they are read, to the checksum at their end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unfog.errors import InputError

_GZIP = b"\x1f\x8b"  # the first bytes of a gzip file
_DEFLATE_LIMIT = 1032  # no deflate stream unpacks to more than so many times its size
_SPARE = 1 << 20  # bytes that may follow the voxels


@contextmanager
def unpacked(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    """A stream of the unpacked bytes of ``file``, and the most there can be; errors in reading it
    become one sentence.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if packed:
                yield gzip.GzipFile(fileobj=raw), size * _DEFLATE_LIMIT  # type: ignore[misc]
            else:
                yield raw, size
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{file.name} is truncated or damaged (its gzip stream does not check); copy it again."
        ) from error
    except OSError as error:
        raise InputError(
            f"{file.name} cannot be read ({error.strerror}); check that it is a file and its "
            "permissions."
        ) from error


def content_of(file: Path, stream: IO[bytes], start: int, size: int) -> bytes:
    """The bytes of the voxels; the rest of the stream is read too, because the checksum comes
    last.
    """
    stream.seek(start)
    content = stream.read(size)
    if len(content) < size:
        raise InputError(
            f"{file.name} is truncated: it holds {len(content)} of {size} bytes of voxels; copy "
            "it again."
        )
    if len(stream.read(_SPARE + 1)) > _SPARE:
        raise InputError(
            f"{file.name} goes on after its voxels for more than {_SPARE >> 20} MB; its "
            "header is wrong."
        )
    return content
