"""DICOM series as volumes: slices in the order of their positions, in the scanner's values and its
place in space.

    place of (column i, row j, slice k) = position_0 + i spacing_1 across + j spacing_0 down + k
    (position_n - position_0) / n

(PS3.3, C.7.6.2: ImagePositionPatient, ImageOrientationPatient, PixelSpacing). DICOM counts
millimetres to the left, the back and the head, NIfTI to the right, the front and the head. Values
are slope times stored plus intercept, slice by slice.

Of a header only pixels, geometry and what sorts it into a series are read: who was scanned, and
where and when, reaches no output.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.files.nifti import VOXEL_CAP, Volume, new_volume

EVEN = 0.02  # of the spacing: how far a slice may lie from where an even series has it
PARALLEL = 1e-3  # how far directions of two slices may be apart
_RIGHT_FRONT_HEAD = np.diag([-1.0, -1.0, 1.0, 1.0])
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    RuntimeError,
    struct.error,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Slice:
    """Frame ``frame`` of a file; ``facts`` is a pydicom data set that holds what is said of this
    frame alone.
    """

    file: Path
    frame: int
    size: tuple[int, int]  # rows, columns
    position: Floats
    axes: Floats  # (2, 3): along a row, down a column
    spacing: Floats  # (2,): from row to row, from column to column
    facts: Any


def is_dicom(file: Path) -> bool:
    """Whether a file says of itself that it is DICOM, whatever its name."""
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
    found = _series(place)
    if len(found) > 1:
        names = "; ".join(
            f"{_name(series)}, {len(series)} slices, such as {series[0].file.name}"
            for series in found
        )
        raise InputError(
            f"{place.name} holds {len(found)} series ({names}); give a folder that holds one of "
            "them alone."
        )
    return _volume(found[0])


def read_every_series(path: str | Path) -> Iterator[Volume]:
    """A volume for each series below a folder, in the order of their first files."""
    for series in _series(Path(path)):
        yield _volume(series)


def _series(path: Path) -> list[list[_Slice]]:
    """The slices of every series, told apart by SeriesInstanceUID."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found: dict[str, list[_Slice]] = {}
    for file in filter(is_dicom, files):
        with _reading(file):
            header = _pydicom().dcmread(file, stop_before_pixels=True)
            if "Rows" in header:  # others are reports, directories and the like
                found.setdefault(str(header.get("SeriesInstanceUID", "")), []).extend(
                    _slices(file, header)
                )
    if not found:
        raise InputError(
            f"{path.name} holds no DICOM images; give a DICOM series, or a .nii, .nii.gz, .png "
            "or .npy file."
        )
    return list(found.values())


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtra("dicom", "pydicom") from error
    return pydicom


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What pydicom says of a damaged file, as one sentence; its warnings, which may quote the
    header, are not shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{file.name} is truncated or damaged DICOM; copy it again or take it out."
        ) from error


def _slices(file: Path, header: Any) -> list[_Slice]:
    """One of an ordinary file, one for each frame of an enhanced one."""
    colour = header.get("PhotometricInterpretation", "MONOCHROME2")
    if colour != "MONOCHROME2" or header.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"{file.name} is a picture in {colour}; DICOM is read where it is grey (MONOCHROME2)."
        )
    frames, groups = (
        int(header.get("NumberOfFrames", 1) or 1),
        header.get("PerFrameFunctionalGroupsSequence", []),
    )
    if frames > 1 and len(groups) != frames:
        raise InputError(
            f"{file.name} holds {frames} frames and does not say where each lies; give a file "
            "for each slice."
        )
    shared = list(header.get("SharedFunctionalGroupsSequence", []))
    facts = [_flat(header, [*shared, group]) for group in groups] or [header]
    return [_slice(file, k, header, one) for k, one in enumerate(facts)]


def _flat(header: Any, groups: list[Any]) -> Any:
    """The functional groups of a frame as an ordinary header has them."""
    flat = _pydicom().Dataset()
    for name in ("SliceThickness", "SpacingBetweenSlices", "SeriesNumber", "Modality"):
        if name in header:
            flat[name] = header[name]
    for group in groups:
        for macro in group:
            if macro.VR == "SQ" and macro.value:
                flat.update(macro.value[0])
    return flat


def _slice(file: Path, frame: int, header: Any, facts: Any) -> _Slice:
    axes = _numbers(file, facts, "ImageOrientationPatient", 6).reshape(2, 3)
    spacing = _numbers(file, facts, "PixelSpacing", 2)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=PARALLEL) or not spacing.min() > 0:
        raise InputError(
            f"{file.name} has axes that are not at right angles or a PixelSpacing of 0; correct "
            "its header."
        )
    size = (int(header.Rows), int(header.Columns))
    return _Slice(
        file, frame, size, _numbers(file, facts, "ImagePositionPatient", 3), axes, spacing, facts
    )


def _numbers(file: Path, facts: Any, field: str, count: int) -> Floats:
    values = np.array(facts.get(field) or [], dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError(
            f"{file.name} has no {field} of {count} numbers, so where it lies is unknown; export "
            "the series with its geometry."
        )
    return values


def _name(series: list[_Slice]) -> str:
    facts = series[0].facts
    return f"{facts.get('Modality', 'images')} {facts.get('SeriesNumber', '') or ''}".strip()


def _volume(series: list[_Slice]) -> Volume:
    """The slices of one series, sorted, stacked and placed."""
    first = series[0]
    for other in series:
        alike = np.allclose(other.axes, first.axes, atol=PARALLEL) and np.allclose(
            other.spacing, first.spacing, rtol=PARALLEL
        )
        if other.size != first.size or not alike:
            raise InputError(
                f"{other.file.name} has another size, spacing or direction than "
                f"{first.file.name} ({_shape(other)}; {_shape(first)}); "
                "leave scouts and other stacks out."
            )
    normal = np.cross(*first.axes)
    series = sorted(series, key=lambda one: float(one.position @ normal))
    step, origin = _step(series, normal), series[0].position
    affine = np.eye(4)
    affine[:3] = np.stack(
        [first.axes[0] * first.spacing[1], first.axes[1] * first.spacing[0], step, origin], 1
    )
    volume = new_volume(_values(series), _RIGHT_FRONT_HEAD @ affine)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    notes: tuple[str, ...] = ()
    if tilt > np.degrees(PARALLEL):
        volume.header["qform_code"] = 0  # a qform has right angles only
        notes = (
            f"The slices are shifted against each other by {tilt:.3g} degrees (a tilted gantry); "
            "they stay as they are.",
        )
    return Volume(volume.data, volume.affine, volume.header, first.file, notes)


def _shape(one: _Slice) -> str:
    return f"{one.size[1]} x {one.size[0]} of {one.spacing[1]:.4g} x {one.spacing[0]:.4g} mm"


def _step(series: list[_Slice], normal: Floats) -> Floats:
    """From one slice to the next, mm; sorted slices must be evenly spaced and none be missing or
    there twice.
    """
    if len(series) == 1:
        facts = series[0].facts
        return normal * abs(
            float(facts.get("SpacingBetweenSlices") or facts.get("SliceThickness") or 1.0)
        )
    steps = np.diff([one.position for one in series], axis=0)
    usual = np.median(steps, axis=0)
    far = np.linalg.norm(steps - usual, axis=1)
    if not float((steps @ normal).min()) > EVEN * float(usual @ normal):
        k = int(np.argmin(steps @ normal))
        raise InputError(
            f"{series[k].file.name} and {series[k + 1].file.name} lie in one place, as echoes, "
            "times or directions do; give one of them."
        )
    if far.max() > EVEN * np.linalg.norm(usual):
        k = int(np.argmax(far))
        raise InputError(
            f"From {series[k].file.name} to {series[k + 1].file.name} it is "
            f"{np.linalg.norm(steps[k]):.4g} mm, elsewhere "
            f"{np.linalg.norm(usual):.4g} mm: slices are missing or uneven; give the whole "
            "series, or resample it."
        )
    return np.asarray((series[-1].position - series[0].position) / (len(series) - 1))


def _values(series: list[_Slice]) -> NDArray[np.float32]:
    """(columns, rows, slices), rescaled."""
    rows, columns = series[0].size
    if rows * columns * len(series) > VOXEL_CAP:
        raise InputError(
            f"{series[0].file.name} is of a series of over {VOXEL_CAP} voxels; give a part of it."
        )
    data = np.empty((columns, rows, len(series)), np.float32)
    places: dict[Path, list[int]] = {}
    for k, one in enumerate(series):
        places.setdefault(one.file, []).append(k)
    for file, ks in places.items():
        frames = _pixels(file).reshape(-1, rows, columns)
        for k in ks:
            with _reading(file):
                data[:, :, k] = (
                    _pydicom().pixels.apply_rescale(frames[series[k].frame], series[k].facts).T
                )
    if not np.isfinite(data).all():
        raise InputError(
            f"The series of {series[0].file.name} holds values that are not finite; mend it first."
        )
    return data


def _pixels(file: Path) -> NDArray[Any]:
    with _reading(file):
        header = _pydicom().dcmread(file)
        syntax = header.file_meta.TransferSyntaxUID
        try:
            return np.asarray(header.pixel_array)
        except (RuntimeError, NotImplementedError) as error:
            if syntax.is_compressed:
                told = (
                    "no decoder that is installed reads it; add one (pip install "
                    "'pylibjpeg[all]') or decompress the series first"
                )
                raise InputError(
                    f"{file.name} is compressed ({syntax.name}) and {told}."
                ) from error
            raise
