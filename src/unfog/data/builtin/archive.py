"""Extraction of named members from a zip (.whl), a Debian package (.deb) or a gzip-ed tar (.tgz).

Members are named by exact path and written under their base names, or in their folders below one
that the caller names, so an archive cannot choose where a file is written; links, devices and
oversized members are refused.
"""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from unfog.errors import InputError

MEMBER_CAP = 256 << 20  # bytes of one extracted member
TOTAL_CAP = 2 << 30  # bytes a tar may declare up to its last wanted member
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def extract(archive: Path, members: Sequence[str], folder: Path, root: str = "") -> None:
    """Extract members of an archive into a new folder.

    Args:
        archive: A .whl, .deb or .tgz file.
        members: The paths of the members inside the archive, or patterns such as "assets/*.png".
        folder: The folder to make; each member is written there under its base name.
        root: A folder inside the archive below which members keep their own folders; none does
            where it is empty.

    Raises:
        InputError: A member is missing or unsafe, or the archive is damaged.
    """
    folder.mkdir(parents=True)
    try:
        unpack = _from_zip if zipfile.is_zipfile(archive) else _from_tar
        extracted = unpack(archive, set(members), folder, root)
    except _DAMAGED as error:
        raise InputError(
            f"{archive.name} is damaged and cannot be unpacked; get it again."
        ) from error
    if missing := [m for m in sorted(members) if not any(fnmatchcase(e, m) for e in extracted)]:
        raise InputError(
            f"{archive.name} does not hold {missing[0]}; get the version this release asks for."
        )


def _wanted(name: str, members: set[str]) -> bool:
    """Whether a member is named, by its path or by a pattern."""
    return name in members or any("*" in member and fnmatchcase(name, member) for member in members)


def _from_zip(archive: Path, members: set[str], folder: Path, root: str) -> set[str]:
    """Extract from a zip; the members that it had."""
    extracted = set()
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if _wanted(info.filename, members):
                # The Unix file type: a regular file, or not recorded.
                regular = not info.is_dir() and (info.external_attr >> 28) in (0, 8)
                with bundle.open(info) as stream:
                    place = _place(info.filename, root)
                    _write(archive, place, info.file_size, regular, stream, folder)
                extracted.add(info.filename)
    return extracted


def _from_tar(archive: Path, members: set[str], folder: Path, root: str) -> set[str]:
    """Extract from a tar, or a Debian package's; the members that it had."""
    extracted, total = set(), 0
    with (
        _deb_data(archive) if archive.suffix == ".deb" else archive.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r|*") as bundle,
    ):
        for info in bundle:
            # A bound on what is decompressed, whatever the archive's own size.
            total += info.size
            if total > TOTAL_CAP:
                raise InputError(
                    f"{archive.name} unpacks to more than {TOTAL_CAP >> 30} GB; it is not the "
                    "file this release asks for."
                )
            name = info.name.removeprefix("./")
            if _wanted(name, members):
                _write(
                    archive,
                    _place(name, root),
                    info.size,
                    info.isreg(),
                    bundle.extractfile(info) if info.isreg() else None,
                    folder,
                )
                extracted.add(name)
                # The rest of the archive need not be read.
                if extracted == members:
                    break
    return extracted


def _place(name: str, root: str) -> PurePosixPath:
    """Where a member is written: below ``root`` as it lies there, else under its base name; a path
    that leads out of the archive stays what it is, and is refused.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return path
    return (
        path.relative_to(root) if root and path.is_relative_to(root) else PurePosixPath(path.name)
    )


def _write(
    archive: Path,
    path: PurePosixPath,
    size: int,
    regular: bool,
    stream: IO[bytes] | None,
    folder: Path,
) -> None:
    """Write one member, or refuse it."""
    # Refuse what could write outside the folder or fill the disk.
    if (
        stream is None
        or not regular
        or path.is_absolute()
        or ".." in path.parts
        or size > MEMBER_CAP
    ):
        raise InputError(
            f"{archive.name} holds {path} as a link, a device, outside its folder or over "
            f"{MEMBER_CAP >> 20} MB; refused."
        )
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("xb") as out:
        shutil.copyfileobj(stream, out)


def _deb_data(archive: Path) -> IO[bytes]:
    """The data.tar of a Debian package: an ar archive has a 60-byte header before each member."""
    raw = archive.read_bytes()
    if raw[:8] != b"!<arch>\n":
        raise InputError(f"{archive.name} is not a Debian package; get it again.")
    place = 8
    while place + 60 <= len(raw):
        # Of a header: the name in bytes 0 to 15, the size in decimal digits in 48 to 57.
        name, size = (
            raw[place : place + 16].decode("ascii", "replace").strip().rstrip("/"),
            raw[place + 48 : place + 58].strip(),
        )
        if not size.isdigit():
            break
        body = raw[place + 60 : place + 60 + int(size)]
        if name.startswith("data.tar"):
            return io.BytesIO(_unzstd(archive, body) if name.endswith(".zst") else body)
        # Members are padded to an even length.
        place += 60 + int(size) + int(size) % 2
    raise InputError(f"{archive.name} holds no data.tar; get it again.")


def _unzstd(archive: Path, body: bytes) -> bytes:
    """Decompress Zstandard by its own program: Python 3.11 to 3.13 cannot."""
    try:
        return subprocess.run(
            ["zstd", "-dc"], input=body, capture_output=True, check=True, timeout=120
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"{archive.name} is compressed with Zstandard and needs the zstd program; install it."
        ) from error
