"""Zip files: every member is looked at before the first is unpacked, and counted while it is."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from unfog.errors import InputError
from unfog.lab.limits import Limits

CHUNK = 2**20
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack a zip into a new folder.

    Args:
        archive: The zip.
        folder: The folder, which is made.
        limits: What it may hold.

    Raises:
        InputError: It is no zip, a member would lie outside, is a link, or claims or holds more
            than is allowed.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [m for m in opened.infolist() if not m.is_dir() and not _of_macos(m.filename)]
            targets = [(member, folder / _inside(member)) for member in found]
            _check(found, limits)
            folder.mkdir()
            left = limits.unpacked
            for member, target in targets:
                left = _write(opened, member, target, left)
    except (
        zipfile.BadZipFile,
        zlib.error,  # of a member whose bytes were changed
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InputError("The zip is damaged or encrypted; pack it again.") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError("The zip holds one name twice; pack it again.") from error


def _of_macos(name: str) -> bool:
    """Whether a member is what macOS adds to every zip."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name == ".DS_Store"


def _inside(member: zipfile.ZipInfo) -> Path:
    """Where a member lies below the folder."""
    name = member.filename
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if outside or not path.parts or ":" in path.parts[0]:
        raise InputError("The zip holds a file that would lie outside its folder; pack it again.")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InputError("The zip holds a link or a device; pack files alone.")
    return Path(*path.parts)


def _check(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    """The numbers that a zip claims."""
    if not members:
        raise InputError("The zip is empty; pack the files of a scan.")
    if len(members) > limits.members:
        raise InputError(f"The zip holds {len(members)} files; at most {limits.members} are taken.")
    total = sum(member.file_size for member in members)
    if total > limits.unpacked:
        raise InputError(f"The zip unpacks to {total} bytes; at most {limits.unpacked} are taken.")
    for member in members:
        if member.compress_type not in PLAIN:
            raise InputError("The zip is packed in an uncommon way; pack it with deflate.")
        if member.file_size > CHUNK and member.file_size > limits.ratio * member.compress_size:
            raise InputError(
                f"A file of the zip unpacks to over {limits.ratio} times its size; pack real files."
            )


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack one member; what is left of the bytes that all may have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("xb") as out:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise InputError("The zip unpacks to more than it says; pack it again.")
            out.write(chunk)
    return left
