"""Files that were dropped: written to disk as they come, under opaque ids and neutral names.

A file's own name is never sent: names of files hold names of patients. Its ending alone is.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.listing import files_below
from unfog.lab.answers import apart
from unfog.lab.archives import unpack
from unfog.lab.limits import Limits
from unfog.lab.painted import keep_as_mask
from unfog.lab.queue import ID, new_id

PICTURES = ("png", "jpg", "jpeg", "tif", "tiff")
VOLUMES = ("nii", "nii.gz", "mif", "mif.gz")
TEXTS = ("bval", "bvec", "bvals", "bvecs", "b")
ENDINGS = (*PICTURES, *VOLUMES, *TEXTS, "npy", "dcm", "zip", "wav", "flac", "yaml")
FACTS, UNPACKED, FOLDER, NAME = "facts.json", "unpacked", "scan", "input"


@dataclass(frozen=True)
class Upload:
    """A file that was taken.

    Args:
        id: Opaque.
        path: The file under its neutral name, or the folder that a zip was unpacked to.
        facts: What it is, in words.
    """

    id: str
    path: Path
    facts: str


class Uploads:
    """The files in a folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        folder.mkdir(parents=True, exist_ok=True)

    async def take(self, ending: str, stream: AsyncIterator[bytes], mask: bool = False) -> Upload:
        """Write a stream to disk, and look at what it is.

        Args:
            ending: Of the file's name, without a dot before it.
            stream: Its bytes.
            mask: Whether it is a picture that was painted, to be kept as a mask.

        Returns:
            The file.

        Raises:
            InputError: It is of another kind than its ending says, or larger than is taken.
        """
        ending = ending.lower()
        if ending not in ENDINGS:
            raise InputError(
                f"Files that end in {ending[:12]!r} are not taken; give one of: "
                f"{', '.join(ENDINGS)}."
            )
        name = new_id()
        folder = self._folder / name
        try:
            folder.mkdir()
            path = folder / f"{NAME}.{ending}"
            with path.open("wb") as file:
                async for chunk in stream:
                    await apart(file.write, chunk)
            upload: Upload = await apart(self._looked_at, name, path, mask)
            await apart(self._tidy)
            return upload
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise InputError(f"The file could not be written: {error.strerror}.") from error
        except BaseException:  # the connection was lost, or the file is not what it says
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _looked_at(self, name: str, path: Path, mask: bool) -> Upload:
        """The upload, once its header says that it may be read."""
        if path.suffix == ".zip":
            unpack(path, path.parent / UNPACKED, self._limits)
            path.unlink()
            path = _within(path.parent / UNPACKED).rename(path.parent / FOLDER)
            facts = f"{len(files_below(path))} files"
        else:
            facts = describe(path, self._limits)
            if mask:
                keep_as_mask(path)
        upload = Upload(name, path, facts)
        content = {"name": path.name, "facts": facts}
        (path.parent / FACTS).write_text(json.dumps(content), "utf-8")
        return upload

    def get(self, name: str) -> Upload:
        """The file of an id; ``InputError`` where there is none any more."""
        try:
            if not ID.fullmatch(name):
                raise FileNotFoundError
            kept = json.loads((self._folder / name / FACTS).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("The file is not here any more; drop it again.") from error
        return Upload(name, self._folder / name / kept["name"], kept["facts"])

    def _tidy(self) -> None:
        """Remove the oldest beyond the number and the bytes that are kept; jobs have links of
        their own.
        """
        newest = sorted(self._folder.iterdir(), key=lambda p: -p.stat().st_mtime)
        total = 0
        for number, folder in enumerate(newest):
            total += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            over = number >= self._limits.uploads or total > self._limits.kept
            if over and number > 0 and (folder / FACTS).is_file():  # it is not being written
                shutil.rmtree(folder, ignore_errors=True)


def _within(folder: Path) -> Path:
    """The folder that a zip is of, where it was packed with the folder about it."""
    while len(found := list(folder.iterdir())) == 1 and found[0].is_dir():
        folder = found[0]
    return folder


def looked_at(path: Path, limits: Limits) -> Upload:
    """A file of the package as if it had been dropped."""
    return Upload("", path, describe(path, limits))


def describe(path: Path, limits: Limits) -> str:
    """What a file is, by its header alone.

    Args:
        path: The file.
        limits: The most voxels that it may declare.

    Returns:
        Its size in words, such as "96 x 96 x 60 x 70 voxels".

    Raises:
        InputError: The header is none of its kind, or declares more.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty; copy it again.")
    ending = path.name.partition(".")[2]
    if ending in ("nii", "nii.gz"):
        sizes = _nifti_sizes(path)
    elif ending in PICTURES:
        sizes = _picture_sizes(path)
    elif ending == "npy":
        sizes = _npy_sizes(path)
    else:
        return f"{path.stat().st_size} bytes"
    if not sizes or min(sizes) < 1:
        raise InputError(
            f"{path.name} holds no numbers: its sizes are {sizes}; convert or copy it again."
        )
    if math.prod(sizes) > limits.voxels:
        raise InputError(
            f"{path.name} claims {math.prod(sizes)} voxels and at most {limits.voxels} are read; "
            "crop it."
        )
    unit = "pixels" if ending in PICTURES else "voxels"
    return f"{' x '.join(map(str, sizes))} {unit}"


def _nifti_sizes(path: Path) -> list[int]:
    """The sizes in a NIfTI header."""
    import gzip
    import zlib

    from unfog.files.nifti_header import read_header

    opener: Any = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rb") as stream:
            header = read_header(path, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path.name} is damaged or no gzip file; copy it again.") from error
    return [int(d) for d in header["dim"][1 : int(header["dim"][0]) + 1]]


def _picture_sizes(path: Path) -> list[int]:
    """Columns and rows of a picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return list(picture.size)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} is not a picture, or damaged; save it again.") from error


def _npy_sizes(path: Path) -> list[int]:
    """The shape in the header of a .npy file."""
    from numpy.lib import format as npy

    try:
        with path.open("rb") as stream:
            readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, _, kind = readers[npy.read_magic(stream)](stream)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path.name} is not a .npy file, or damaged; save it again.") from error
    if kind.hasobject:
        raise InputError(f"{path.name} holds Python objects; save numbers.")
    return list(shape)
