"""What the header of a DICOM file says of its picture in words, and nothing of who was scanned.

Only attributes that describe the picture and how it was made are read (``DESCRIBING``), and a value
that holds a name or number of a person in the same header is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.dicom_volume import load_pydicom, reading

DESCRIBING = (
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "StudyDescription",
    "Modality",
    "ImageType",
    "Laterality",
    "ImageLaterality",
    "ViewPosition",
    "PatientPosition",
    "PatientSex",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "SequenceName",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "AcquisitionContrast",
    "PulseSequenceName",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "SliceThickness",
    "KVP",
    "ConvolutionKernel",
    "FilterType",
    "ContrastBolusAgent",
    "Radiopharmaceutical",
)
_NUMBERS = (
    "PatientID",
    "OtherPatientIDs",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyID",
    "PatientAddress",
    "PatientTelephoneNumbers",
)
LEAST = 3  # letters or digits of a word that can name someone


def require_describing(keywords: Sequence[str]) -> None:
    """``InputError`` for an attribute that is not among ``DESCRIBING``."""
    for keyword in keywords:
        if keyword not in DESCRIBING:
            raise InputError(
                f"{keyword} is no attribute of DICOM that is read into a caption, for it may say "
                f"who was scanned, or nothing of the picture; take one of "
                f"{', '.join(DESCRIBING[:4])} or others of how it was made."
            )


def words_of(file: Path, keywords: Sequence[str]) -> dict[str, str]:
    """The values of attributes in a file's header.

    Args:
        file: A DICOM file.
        keywords: Among ``DESCRIBING``.

    Returns:
        By keyword, the values that are there and not empty; several with commas between them.

    Raises:
        InputError: An attribute may say who was scanned, or does here.
    """
    require_describing(keywords)
    with reading(file):
        header = load_pydicom().dcmread(file, stop_before_pixels=True)
        naming = _naming(header)
        found = {}
        for keyword in keywords:
            value = _text(header.get(keyword))
            if _words(value) & naming:
                raise InputError(
                    f"The {keyword} of {file.name} holds a name or number of a person in its "
                    "header; take another attribute, or a table of captions."
                )
            if value:
                found[keyword] = value
    return found


def _naming(header: Any) -> set[str]:
    """The words of the persons' names and numbers in a header."""
    values = [_text(element.value) for element in header if element.VR == "PN"]
    values += [_text(header.get(keyword)) for keyword in _NUMBERS]
    return set().union(*map(_words, values))


def _words(text: str) -> set[str]:
    """The words that can name someone, in small letters."""
    return {word for word in re.findall(r"[^\W_]+", text.casefold()) if len(word) >= LEAST}


def _text(value: Any) -> str:
    """A value as text in one line."""
    if value is None:
        return ""
    several = not isinstance(value, str | bytes) and hasattr(value, "__iter__")
    # A person's name is iterable by its characters, and no list of values.
    listed = list(value) if several and type(value).__name__ != "PersonName" else [value]
    written = [f"{one:g}" if isinstance(one, float) else str(one) for one in listed]
    return " ".join(", ".join(written).split())
