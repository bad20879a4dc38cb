"""A volume stacked of the slices of one DICOM series: in the order of their positions, in the
scanner's values and its place in space.
"""

from __future__ import annotations

import logging
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
    ArithmeticError,
    struct.error,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """One slice of a series: a frame of a file, with its place in the patient.

    Args:
        file: The file.
        frame: The number of the frame, or of the tile of a mosaic, in it.
        size: (rows, columns).
        position: ImagePositionPatient, (3,): of the first pixel's centre, in mm.
        axes: ImageOrientationPatient, (2, 3): unit vectors along a row and down a column.
        spacing: PixelSpacing, (2,): from row to row and from column to column, in mm.
        facts: A pydicom data set of the fields that hold for this frame.
        tiles: How many tiles a side of the mosaic has whose tile this is; 1 for whole frames.
    """

    file: Path
    frame: int
    size: tuple[int, int]
    position: Floats
    axes: Floats
    spacing: Floats
    facts: Any
    tiles: int = 1


def stacked(series: list[Slice]) -> Volume:
    """The volume (columns, rows, slices) of the slices of one series, in any order.

    With ``across`` and ``down`` the unit vectors along a row and down a column,

        place of (column i, row j, slice k) = position_0 + i spacing_1 across + j spacing_0 down
                                              + k (position_n - position_0) / n

    (PS3.3, C.7.6.2). DICOM counts millimetres to the left, the back and the head, NIfTI to the
    right, the front and the head. Values are slope times stored plus intercept, slice by slice.
    """
    first = series[0]
    for other in series:
        _require_alike(first, other)
    normal = np.cross(*first.axes)
    series = sorted(series, key=lambda one: float(one.position @ normal))
    # The affine, column by column.
    across = first.axes[0] * first.spacing[1]
    down = first.axes[1] * first.spacing[0]
    step = _step(series, normal)
    affine = np.eye(4)
    affine[:3] = np.stack([across, down, step, series[0].position], 1)
    volume = new_volume(_values(series), _RIGHT_FRONT_HEAD @ affine)
    # The angle between the step and the slices' normal.
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    notes: tuple[str, ...] = ()
    if tilt > np.degrees(PARALLEL):
        volume.header["qform_code"] = 0  # a qform has right angles only
        notes = (
            f"The slices are shifted against each other by {tilt:.3g} degrees (a tilted gantry); "
            "they stay as they are.",
        )
    return Volume(volume.data, volume.affine, volume.header, first.file, notes)


def _require_alike(first: Slice, other: Slice) -> None:
    """``InputError`` unless two slices share size, spacing and directions."""
    parallel = np.allclose(other.axes, first.axes, atol=PARALLEL)
    spaced = np.allclose(other.spacing, first.spacing, rtol=PARALLEL)
    if other.size != first.size or not (parallel and spaced):
        raise InputError(
            f"{other.file.name} has another size, spacing or direction than "
            f"{first.file.name} ({_shape(other)}; {_shape(first)}); "
            "leave scouts and other stacks out."
        )


def _shape(one: Slice) -> str:
    """Size and spacing of a slice, for errors."""
    return f"{one.size[1]} x {one.size[0]} of {one.spacing[1]:.4g} x {one.spacing[0]:.4g} mm"


def _step(series: list[Slice], normal: Floats) -> Floats:
    """The vector from one slice to the next, (3,), in mm; ``InputError`` unless the sorted slices
    are evenly spaced, none missing or there twice.
    """
    if len(series) == 1:
        facts = series[0].facts
        spacing = facts.get("SpacingBetweenSlices") or facts.get("SliceThickness") or 1.0
        return normal * abs(float(spacing))
    steps = np.diff([one.position for one in series], axis=0)
    usual = np.median(steps, axis=0)
    # Two slices in one place.
    if not float((steps @ normal).min()) > EVEN * float(usual @ normal):
        k = int(np.argmin(steps @ normal))
        raise InputError(
            f"{series[k].file.name} and {series[k + 1].file.name} lie in one place, as echoes, "
            "times or directions do; give one of them."
        )
    # A gap, or uneven slices.
    far = np.linalg.norm(steps - usual, axis=1)
    if far.max() > EVEN * np.linalg.norm(usual):
        k = int(np.argmax(far))
        raise InputError(
            f"From {series[k].file.name} to {series[k + 1].file.name} it is "
            f"{np.linalg.norm(steps[k]):.4g} mm, elsewhere "
            f"{np.linalg.norm(usual):.4g} mm: slices are missing or uneven; give the whole "
            "series, or resample it."
        )
    return np.asarray((series[-1].position - series[0].position) / (len(series) - 1))


def _values(series: list[Slice]) -> NDArray[np.float32]:
    """The values (columns, rows, slices) in the scanner's units (PS3.3, C.11.1)."""
    rows, columns = series[0].size
    if rows * columns * len(series) > VOXEL_CAP:
        raise InputError(
            f"{series[0].file.name} is of a series of over {VOXEL_CAP} voxels; give a part of it."
        )
    data = np.empty((columns, rows, len(series)), np.float32)
    # A file of several frames is read once.
    slices_of: dict[Path, list[int]] = {}
    for k, one in enumerate(series):
        slices_of.setdefault(one.file, []).append(k)
    for file, numbers in slices_of.items():
        # Mosaics have tiles below and beside each other, other files whole frames.
        side = series[numbers[0]].tiles
        tiles = _pixels(file).reshape(-1, rows, side, columns).swapaxes(1, 2)
        frames = tiles.reshape(-1, rows, columns)
        for k in numbers:
            with reading(file):
                rescale = load_pydicom().pixels.apply_rescale
                data[:, :, k] = rescale(frames[series[k].frame], series[k].facts).T
    if not np.isfinite(data).all():
        raise InputError(
            f"The series of {series[0].file.name} holds values that are not finite; mend it first."
        )
    return data


def _pixels(file: Path) -> NDArray[Any]:
    """The stored values of a file; ``InputError`` where no decoder reads its compression."""
    with reading(file):
        header = load_pydicom().dcmread(file)
        syntax = header.file_meta.TransferSyntaxUID
        try:
            return np.asarray(header.pixel_array)
        except (RuntimeError, NotImplementedError) as error:
            if not syntax.is_compressed:
                raise
            if _decodes(syntax):
                raise InputError(
                    f"{file.name} is damaged, or compressed ({syntax.name}) as no decoder that is "
                    "installed reads it; copy it again, or decompress the series first."
                ) from error
            raise InputError(
                f"{file.name} is compressed ({syntax.name}) and no decoder that is installed "
                "reads it; add one (pip install 'pylibjpeg[all]') or decompress the series "
                "first."
            ) from error


def _decodes(syntax: Any) -> bool:
    """Whether a decoder that is installed reads a compression."""
    try:
        return bool(load_pydicom().pixels.get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def load_pydicom() -> Any:
    """The package pydicom, an optional dependency; ``MissingExtra`` where it is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtra("dicom", "pydicom") from error
    return pydicom


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turns pydicom's errors on a damaged file into one sentence, and hides its warnings and its
    log, which may quote the header and print tracebacks.
    """
    log, nowhere = logging.getLogger("pydicom"), logging.NullHandler()
    before = log.propagate
    try:
        log.propagate = False
        log.addHandler(nowhere)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{file.name} is truncated or damaged DICOM; copy it again or take it out."
        ) from error
    finally:
        log.propagate = before
        log.removeHandler(nowhere)
