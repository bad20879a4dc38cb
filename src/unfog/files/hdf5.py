"""HDF5 files, checked before any array is read: nothing in one leads out of it.

External links, external storage and virtual data sets name other files, whose numbers would be read
as this one's; each is refused by the entry's name. What an array claims is held against the bytes
that the file keeps of it, and against memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.room import require_room

MOST_ENTRIES = 100_000  # data sets and groups in a file
RATIO = 1032  # no deflate stream unpacks to more than so many times its size
SPARE = 16 << 20  # bytes that may be claimed of what was never written, and is zero
REMEDY = "copy the data themselves into it"


def check_contained(path: Path, file: Any) -> None:
    """Refuse an open HDF5 file any of whose entries leads elsewhere, or claims more than is there.

    Args:
        path: The file, for errors.
        file: The open ``h5py.File``.

    Raises:
        InputError: The entry is named.
    """
    for name, entry in _entries(path, file):
        if hasattr(entry, "shape"):
            _check_array(path, name, entry)


def _entries(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Every group and data set by its path within the file, once each, links checked first."""
    import h5py

    waiting, seen = [("", file)], set[Any]()
    while waiting:
        prefix, group = waiting.pop()
        for key in group:
            name = f"{prefix}/{key}".lstrip("/")
            if group.get(key, getclass=True, getlink=True) is h5py.ExternalLink:
                raise InputError(f"{path.name} has {name!r} as a link to another file; {REMEDY}.")
            entry = group.get(key)
            if entry is None:
                raise InputError(f"{path.name} has {name!r} as a link to nothing; {REMEDY}.")
            # Links within a file may make rings.
            place = h5py.h5o.get_info(entry.id)
            if (place.fileno, place.addr) in seen:
                continue
            seen.add((place.fileno, place.addr))
            if len(seen) > MOST_ENTRIES:
                raise InputError(f"{path.name} holds over {MOST_ENTRIES} entries; split it.")
            if isinstance(entry, h5py.Group):
                waiting.append((name, entry))
            yield name, entry


def _check_array(path: Path, name: str, part: Any) -> None:
    """``InputError`` for a data set that lies elsewhere, or is not all there."""
    if part.is_virtual:
        raise InputError(f"{path.name} puts {name!r} together from other data sets; {REMEDY}.")
    if part.external:
        raise InputError(f"{path.name} keeps {name!r} in another file; {REMEDY}.")
    claimed = math.prod(part.shape or ()) * part.dtype.itemsize
    stored = part.id.get_storage_size()
    packed = bool(part.id.get_create_plist().get_nfilters())
    if claimed > stored * (RATIO if packed else 1) + SPARE:
        raise InputError(
            f"{path.name} claims {claimed} bytes in {name!r} and holds {stored}; copy it again."
        )


def require_numbers_room(path: Path, name: str, part: Any) -> None:
    """``InputError`` where a data set would not fit into memory."""
    require_room(path, repr(name), math.prod(part.shape or ()) * part.dtype.itemsize)
