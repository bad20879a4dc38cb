"""k-space in ISMRMRD (Inati et al. 2017), an HDF5 file of acquisitions: each a line of k-space of
every coil, with its place.

Cartesian lines of one phase-encoding axis are gathered into (slices, coils, rows, columns), zero
frequency in the middle; noise scans are left out, repeated lines averaged, and columns that the
scanner oversampled are cropped in the image, as the header says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.files.numpy_files import MEMORY_CAP

# flags of noise, calibration alone, navigation, phase correction and the like
NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30, 31)
# counters that tell images apart, and the third dimension
ONE = ("contrast", "phase", "set", "kspace_encode_step_2")


def read_ismrmrd(path: Path) -> NDArray[np.complex64]:
    """The k-space of a file, (slices, coils, rows, columns), 0 where nothing was measured."""
    try:
        import ismrmrd
    except ImportError as error:
        raise MissingExtra("mri", "ismrmrd") from error
    file = ismrmrd.Dataset(str(path), create_if_needed=False)
    try:
        encoding = ismrmrd.xsd.CreateFromDocument(file.read_xml_header()).encoding[0]
        lines = [
            line for line in _lines(file) if not any(line.is_flag_set(flag) for flag in NO_IMAGE)
        ]
    except (LookupError, ValueError, TypeError) as error:
        raise InputError(
            f"{path.name} has no ISMRMRD header that can be read; convert it again."
        ) from error
    finally:
        file.close()
    size = encoding.encodedSpace.matrixSize
    rows, columns = int(size.y), int(size.x)
    _check(path, str(encoding.trajectory.value), lines, rows, columns)
    # The line of zero frequency goes to the middle row.
    limit = encoding.encodingLimits.kspace_encoding_step_1
    centre = int(limit.center if limit else rows // 2)
    kspace = _gathered(path, lines, rows, rows // 2 - centre)
    return _cropped(kspace, int(encoding.reconSpace.matrixSize.x))


def _lines(file: Any) -> Iterator[Any]:
    """The acquisitions of a file, one after the other."""
    return (file.read_acquisition(k) for k in range(file.number_of_acquisitions()))


def _check(path: Path, trajectory: str, lines: list[Any], rows: int, columns: int) -> None:
    """``InputError`` unless the lines are those of one Cartesian image that fits in memory."""
    if trajectory.lower() != "cartesian":
        raise InputError(f"{path.name} has {trajectory} k-space; Cartesian lines are read.")
    shapes = {line.data.shape for line in lines}  # (coils, columns)
    if len(shapes) != 1 or lines[0].data.shape[1] != columns:
        raise InputError(
            f"{path.name} must hold lines of {columns} samples each, as its header says, and of "
            "one number of coils."
        )
    for name in ONE:
        if len({getattr(line.idx, name) for line in lines}) > 1:
            raise InputError(
                f"{path.name} holds several images apart by {name}; give one at a time."
            )
    slices = 1 + max(line.idx.slice for line in lines)
    if 8 * slices * rows * lines[0].data.size > MEMORY_CAP:  # bytes of complex64
        raise InputError(
            f"{path.name} claims more than {MEMORY_CAP >> 30} GB of k-space; split it."
        )


def _gathered(path: Path, lines: list[Any], rows: int, shift: int) -> NDArray[np.complex64]:
    """Lines at their places, repeated ones averaged; ``shift`` takes a line's number to its row."""
    coils, columns = lines[0].data.shape
    slices = 1 + max(line.idx.slice for line in lines)
    total = np.zeros((slices, coils, rows, columns), np.complex64)
    times = np.zeros((slices, 1, rows, 1), np.float32)
    for line in lines:
        row = line.idx.kspace_encode_step_1 + shift
        if not 0 <= row < rows:
            raise InputError(
                f"{path.name} has a line outside the {rows} rows of its header; convert it again."
            )
        total[line.idx.slice, :, row] += line.data
        times[line.idx.slice, 0, row] += 1
    return np.asarray(total / np.maximum(times, 1), dtype=np.complex64)


def _cropped(kspace: NDArray[np.complex64], columns: int) -> NDArray[np.complex64]:
    """k-space of the middle ``columns`` of the image: the scanner's oversampling taken away."""
    if kspace.shape[-1] <= columns:
        return kspace
    # To the image along the columns, cropped, and back.
    image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, -1), norm="ortho"), -1)
    first = kspace.shape[-1] // 2 - columns // 2
    middle = image[..., first : first + columns]
    back = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(middle, -1), norm="ortho"), -1)
    return np.asarray(back, dtype=np.complex64)
