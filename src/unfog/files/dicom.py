"""DICOM series read as volumes: files are sorted into series, and their headers read as slices,
which ``files.dicom_volume`` stacks.

Only pixels, geometry and the fields that sort files into series are read of a header: who was
scanned, and where and when, reaches no output.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unfog.errors import InputError
from unfog.files.dicom_volume import EVEN, PARALLEL, Floats, Slice, load_pydicom, reading, stacked
from unfog.files.listing import files_below
from unfog.files.mosaic import REMEDY, is_mosaic, require_slice, tiles_of
from unfog.files.nifti import Volume

__all__ = ["EVEN", "PARALLEL", "Floats", "is_dicom", "read_dicom", "read_every_series"]


def is_dicom(file: Path) -> bool:
    """Whether a file has DICOM's mark at its 128th byte, whatever its name."""
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: str | Path) -> Volume:
    """The one series in a file or below a folder, (columns, rows, slices) float32; ``InputError``
    where there are several, or gaps.
    """
    place = Path(path)
    every = _series(place)
    if len(every) > 1:
        names = "; ".join(
            f"{_name(series)}, {len(series)} slices, such as {series[0].file.name}"
            for series in every
        )
        raise InputError(
            f"{place.name} holds {len(every)} series ({names}); give a folder that holds one of "
            "them alone."
        )
    return stacked(every[0])


def read_every_series(path: str | Path) -> Iterator[Volume]:
    """A volume for each series below a folder, in the order of their first files; for training."""
    for series in _series(Path(path)):
        yield stacked(series)


def _series(path: Path) -> list[list[Slice]]:
    """The slices of every series, told apart by SeriesInstanceUID."""
    every: dict[str, list[Slice]] = {}
    for file in filter(is_dicom, files_below(path)):
        with reading(file):
            header = load_pydicom().dcmread(file, stop_before_pixels=True)
            if "Rows" in header:  # others are reports, directories and the like
                uid = str(header.get("SeriesInstanceUID", ""))
                every.setdefault(uid, []).extend(_slices(file, header))
    if not every:
        raise InputError(
            f"{path.name} holds no DICOM images; give a DICOM series, or a .nii, .nii.gz, .png "
            "or .npy file."
        )
    return list(every.values())


def _slices(file: Path, header: Any) -> list[Slice]:
    """The slice of an ordinary file, or a slice for each frame of an enhanced one or for each tile
    of a mosaic.
    """
    colour = header.get("PhotometricInterpretation", "MONOCHROME2")
    if colour != "MONOCHROME2" or header.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"{file.name} is a picture in {colour}; DICOM is read where it is grey (MONOCHROME2)."
        )
    frames = int(header.get("NumberOfFrames", 1) or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence", [])
    if frames > 1 and len(groups) != frames:
        raise InputError(
            f"{file.name} holds {frames} frames and does not say where each lies; give a file "
            "for each slice."
        )
    shared = list(header.get("SharedFunctionalGroupsSequence", []))
    facts = [_flat(header, [*shared, group]) for group in groups] or [header]
    for one in (header, *(facts if groups else ())):
        require_slice(file, one)
    if is_mosaic(header):
        if groups:
            raise InputError(f"{file.name} is an enhanced file of mosaics; {REMEDY}.")
        return tiles_of(_slice(file, 0, header, header))
    return [_slice(file, k, header, one) for k, one in enumerate(facts)]


def _flat(header: Any, groups: list[Any]) -> Any:
    """The functional groups of a frame (PS3.3, C.7.6.16) as the fields of an ordinary header."""
    flat = load_pydicom().Dataset()
    for name in ("SliceThickness", "SpacingBetweenSlices", "SeriesNumber", "Modality"):
        if name in header:
            flat[name] = header[name]
    for group in groups:
        for macro in group:
            if macro.VR == "SQ" and macro.value:
                flat.update(macro.value[0])
    return flat


def _slice(file: Path, frame: int, header: Any, facts: Any) -> Slice:
    """One frame with its geometry (PS3.3, C.7.6.2); ``InputError`` where that is missing."""
    axes = _numbers(file, facts, "ImageOrientationPatient", 6).reshape(2, 3)
    spacing = _numbers(file, facts, "PixelSpacing", 2)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=PARALLEL) or not spacing.min() > 0:
        raise InputError(
            f"{file.name} has axes that are not at right angles or a PixelSpacing of 0; correct "
            "its header."
        )
    size = (int(header.Rows), int(header.Columns))
    position = _numbers(file, facts, "ImagePositionPatient", 3)
    return Slice(file, frame, size, position, axes, spacing, facts)


def _numbers(file: Path, facts: Any, field: str, count: int) -> Floats:
    """The ``count`` finite numbers of a field; ``InputError`` where there are others."""
    values = np.array(facts.get(field) or [], dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError(
            f"{file.name} has no {field} of {count} numbers, so where it lies is unknown; export "
            "the series with its geometry."
        )
    return values


def _name(series: list[Slice]) -> str:
    """Modality and number of a series, for errors."""
    facts = series[0].facts
    return f"{facts.get('Modality', 'images')} {facts.get('SeriesNumber', '') or ''}".strip()
