"""``unfog phi-check``: files that hold text which may name a patient."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.dicom import is_dicom
from unfog.files.identifying import (
    TEXTS,
    Found,
    in_dicom,
    in_json,
    in_nifti,
    in_picture,
    in_text,
    in_yaml,
    looks_identifying,
    masked,
)

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp")
MOST = 1 << 28  # bytes of a packed text


def check(path: Path) -> dict[str, Any]:
    """Look for identifying text in a file, or in all files below a folder, hidden ones too.

    Args:
        path: The file or folder.

    Returns:
        Of each place that is ``found`` its file, its field and its text in short; the ``files``
        that were searched, and those ``not searched``, of a kind that is not known or damaged.

    Raises:
        InputError: There is nothing at the path.
    """
    if not path.exists():
        raise InputError(f"There is no file or folder {path.name}; check the path.")
    below = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    found, searched, left = list[dict[str, str]](), 0, list[str]()
    for file in [path] if path.is_file() else below:
        name = file.name if path.is_file() else str(file.relative_to(path))
        for kind, text in looks_identifying(name):
            found.append({"file": masked(name), "field": f"its name: {kind}", "text": masked(text)})
        reader = _reader(file)
        if reader is None:
            left.append(name)
            continue
        try:
            places = dict.fromkeys(reader(file))
        except (InputError, OSError, ValueError):
            left.append(name)
            continue
        searched += 1
        found += [{"file": name, "field": key, "text": masked(text)} for key, text in places]
    return {"found": found, "files": searched, "not searched": left}


def _reader(file: Path) -> Callable[[Path], Iterator[Found]] | None:
    """What finds text in a file of its kind; None where the kind is not known."""
    name = file.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return in_nifti
    if name.endswith(".json"):
        return in_json
    if name.endswith(PICTURES):
        return in_picture
    if name.endswith((".yaml", ".yml")):
        return in_yaml
    if name.endswith(TEXTS):
        return in_text
    if name.endswith(".gz"):
        return _in_packed
    return in_dicom if is_dicom(file) else None


def _in_packed(file: Path) -> Iterator[Found]:
    """What is in a packed file that is text when unpacked."""
    try:
        with gzip.open(file) as stream:
            content = stream.read(MOST)
    except EOFError as error:
        raise InputError(f"{file.name} is truncated; copy it again.") from error
    with tempfile.TemporaryDirectory() as scratch:
        inner = Path(scratch) / file.name[:-3]
        inner.write_bytes(content)
        reader = _reader(inner)
        yield from () if reader is None else reader(inner)
