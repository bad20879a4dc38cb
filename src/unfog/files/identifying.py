"""Text that may name a patient, by the place it stands in or by what it looks like."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import json_text, yaml
from unfog.files.local_paths import LOCAL
from unfog.files.text import read_text

Found = tuple[str, str]  # a field, and what stands in it
LARGEST = 50_000_000  # bytes of a text that is searched
TEXTS = (".txt", ".log", ".csv", ".tsv", ".yaml", ".yml", ".html", ".htm", ".md", ".xml", ".jsonl")
# Fields of sidecars and of tables of metadata, without spaces, dashes and case.
_FIELDS = re.compile(
    r"(patient|subject|participant)s?(name|id|birth|address|comment|age|weight|size|sex|phone)"
    r"|birth(date|day)|physician|operator(s?name)?$|institution|department|accession|serialnumber"
    r"|station|procedurestep(id|descr)|study(id|date|time|descr)|series(date|time|instance|descr)"
    r"|(acquisition|content|scan|instancecreation)(date|time)|instanceuid|deviceserial|comments?$"
    r"|protocolname|address|telephone|phone|e?mail|surname|firstname|lastname|author"
    r"|medicalrecord|mrn$|filename|sourcefile|^path$|folder"
)
_LOOKS = {
    "e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE),
    "path of a home folder": re.compile(r"(?:/home/|/Users/|[A-Z]:\\\\?Users\\\\?)[^\s/\"'<>]+"),
    "absolute path": re.compile(r"(?<![\w/:.<>])/(?:[\w.~+ -]+/){2,}[\w.~+-]+"),
    "DICOM name": re.compile(r"\b[A-Z][A-Za-z'-]+\^[A-Z][A-Za-z'-]*"),
    "date": re.compile(
        r"(?<![\w.])(?:19|20)\d\d[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])\b"
    ),
    "DICOM UID": re.compile(r"\b1\.[23]\.\d+(?:\.\d+){4,}\b"),
}
_NIFTI = ("descrip", "aux_file", "db_name", "data_type", "intent_name", "unused_str")
# Groups of DICOM that hold more than pixels and geometry are searched for these value types.
_NAMES, _FREE = ("PN",), ("LO", "SH", "ST", "LT", "UT", "UC", "DA", "DT", "TM", "AS", "UI")


def masked(text: str) -> str:
    """The first letter of a text and its length."""
    return f"{text[:1]}... ({len(text)} characters)"


def looks_identifying(text: str) -> Iterator[Found]:
    """What looks like a name, a date or a path in a text: its kind, and itself."""
    for kind, pattern in _LOOKS.items():
        for found in pattern.finditer(text):
            yield kind, found[0]


def in_nifti(path: Path) -> Iterator[Found]:
    """Texts and extensions in the header of a NIfTI file."""
    import nibabel as nib

    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else open(path, "rb") as stream:
            head = stream.read(1 << 20)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path.name} is truncated or damaged; copy it again.") from error
    kinds: Any = ((nib.Nifti1Header, 348, head[344:348]), (nib.Nifti2Header, 540, head[4:8]))
    for kind, size, magic in kinds:
        if magic[:1] == b"n" and len(head) >= size:
            header = kind(head[:size], check=False)
            for field in set(_NIFTI) & set(header.keys()):
                if text := bytes(header[field].tobytes()).strip(b"\0 ").decode("latin-1"):
                    yield field, text
            # After the header come four bytes, the first not 0 where extensions follow.
            first = int(header["vox_offset"])
            if len(head) > size + 4 and head[size] and first > size + 4:
                content = head[size + 12 : first].strip(b"\0 ").decode("latin-1")
                yield "extension", content
            return


def in_dicom(path: Path) -> Iterator[Found]:
    """Tags of a DICOM file that name people, places and times, and private ones."""
    from unfog.files.dicom_volume import load_pydicom, reading

    with reading(path):
        header = load_pydicom().dcmread(path, stop_before_pixels=True)
        for element in header.iterall():
            name = element.keyword or str(element.tag)
            text = str(element.value).strip() if element.VR != "SQ" else ""
            identifying = _FIELDS.search(name.lower()) or element.VR in _NAMES
            if element.tag.is_private:
                identifying = element.VR in (*_NAMES, *_FREE) or bool(text)
            if text and identifying:
                yield name, text


def in_json(path: Path) -> Iterator[Found]:
    """Fields of a JSON file that name people, places and times, and texts that look so."""
    yield from _in_value(json_text.read(path, finite=False), "")


def _in_value(value: Any, field: str) -> Iterator[Found]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _in_value(part, f"{field}.{key}".strip("."))
    elif isinstance(value, list):
        for part in value:
            yield from _in_value(part, field)
    elif isinstance(value, str) and value:
        last = re.sub(r"[\s_-]", "", field.rpartition(".")[2]).lower()
        if _FIELDS.search(last) and value != LOCAL:
            yield field, value
        yield from ((f"{field}: {kind}", found) for kind, found in looks_identifying(value))


def in_yaml(path: Path) -> Iterator[Found]:
    """Fields of a YAML file that name people, places and times, and texts that look so."""
    yield from in_text(path)
    fields = _in_value(yaml.read(path), "")
    yield from ((field, value) for field, value in fields if ": " not in field)


def in_text(path: Path) -> Iterator[Found]:
    """What looks like a name, a date or a path in a text file."""
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path.name} is longer than {LARGEST} bytes of text; split it.")
    text = read_text(path)
    # Pictures within a page are long lines of letters, in which anything may be found.
    yield from looks_identifying(re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))


def in_picture(path: Path) -> Iterator[Found]:
    """The metadata of a picture: texts, EXIF, XMP and comments."""
    from PIL import Image

    with Image.open(path) as picture:
        held: dict[Any, Any] = {**picture.info}
        held |= getattr(picture, "text", {})
        for tag, value in picture.getexif().items():
            if isinstance(value, str | bytes) and tag != ORIENTATION:
                held[f"EXIF {tag}"] = value
    for key, value in held.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and text.strip("\0 ") and key not in _PICTURE:
            yield str(key), text


ORIENTATION = 274  # EXIF's tag
# What Pillow tells of how a picture is stored.
_PICTURE = ("jfif_unit", "compression", "icc_profile", "transparency", "exif", "mode", "background")
