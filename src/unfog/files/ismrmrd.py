"""k-space in ISMRMRD (Inati et al. 2017), an HDF5 file of acquisitions: each a line of k-space of
every coil, with its place.

Cartesian lines of one phase-encoding axis are gathered into (images, coils, rows, columns), zero
frequency in the middle. What is no part of an image (noise scans, navigators, phase correction,
dummies, samples to discard) is left out, lines read out backwards are turned, short ones lie where
their ``center_sample`` says, and repeated ones are averaged. Slices, repetitions, contrasts,
phases and sets are images of their own. Columns that the scanner oversampled are cropped in the
image, as the header says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.files.room import require_room

# Flags of noise, calibration alone, navigation, phase correction, feedback, dummies and the like.
NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30, 31)
REVERSE = 22  # the flag of a line that was read out from its end
# Counters that tell images apart, the one that runs fastest last; averages are averaged.
IMAGES = ("repetition", "set", "phase", "contrast", "slice")
Complex = NDArray[np.complex64]


def read_ismrmrd(path: Path) -> Complex:
    """The k-space of a file, (images, coils, rows, columns), 0 where nothing was measured; images
    are in the order of ``IMAGES``.
    """
    try:
        import ismrmrd
    except ImportError as error:
        raise MissingExtra("mri", "ismrmrd") from error
    file = ismrmrd.Dataset(str(path), create_if_needed=False)
    try:
        lines = [
            line
            for line in _lines(path, file)
            if not any(line.is_flag_set(flag) for flag in NO_IMAGE)
        ]
        encodings = ismrmrd.xsd.CreateFromDocument(file.read_xml_header()).encoding
        encoding = encodings[lines[0].encoding_space_ref]
    except InputError:
        raise
    except (LookupError, ValueError, TypeError) as error:
        raise InputError(
            f"{path.name} has no ISMRMRD header that can be read, or no line of an image; convert "
            "it again."
        ) from error
    finally:
        file.close()
    size = encoding.encodedSpace.matrixSize
    rows, columns = int(size.y), int(size.x)
    _check(path, str(encoding.trajectory.value), lines)
    images = _images(path, lines)
    # Bytes of complex64, before room is made for them.
    require_room(path, "k-space", 8 * len(images) * rows * columns * len(lines[0].data))
    # The line of zero frequency goes to the middle row.
    limit = encoding.encodingLimits.kspace_encoding_step_1
    centre = int(limit.center if limit else rows // 2)
    kspace, measured = _gathered(path, lines, images, (rows, columns), rows // 2 - centre)
    return _cropped(kspace, measured, int(encoding.reconSpace.matrixSize.x))


def _lines(path: Path, file: Any) -> Iterator[Any]:
    """The acquisitions of a file, one after the other; ``InputError`` where they hold more than the
    file, since several can be made to share one line's bytes.
    """
    most, held = path.stat().st_size, 0
    for k in range(file.number_of_acquisitions()):
        line = file.read_acquisition(k)
        held += line.data.nbytes
        if held > most:
            raise InputError(f"{path.name} has more samples than bytes; convert it again.")
        yield line


def _check(path: Path, trajectory: str, lines: list[Any]) -> None:
    """``InputError`` unless the lines are Cartesian, of one plane and one number of coils."""
    if trajectory.lower() != "cartesian":
        raise InputError(f"{path.name} has {trajectory} k-space; Cartesian lines are read.")
    if len({line.data.shape[0] for line in lines}) > 1:
        raise InputError(
            f"{path.name} has lines of different numbers of coils; give the lines of one scan."
        )
    apart = {
        "kspace_encode_step_2": {line.idx.kspace_encode_step_2 for line in lines},
        "encoding_space_ref": {line.encoding_space_ref for line in lines},
    }
    for name, values in apart.items():
        if len(values) > 1:
            raise InputError(f"{path.name} holds lines apart by {name}; give one at a time.")


def _images(path: Path, lines: list[Any]) -> dict[tuple[int, ...], int]:
    """The number of the image of every set of counters; ``InputError`` where images lack slices
    that others have.
    """
    keys = sorted({_counters(line) for line in lines})
    slices: dict[tuple[int, ...], list[int]] = {}
    for key in keys:
        slices.setdefault(key[:-1], []).append(key[-1])
    whole = next(iter(slices.values()))
    for stack, numbers in slices.items():
        if numbers != whole:
            where = ", ".join(f"{name} {k}" for name, k in zip(IMAGES, stack, strict=False))
            raise InputError(
                f"{path.name} has {len(numbers)} slices in {where} and {len(whole)} in the first "
                "stack; leave out what was cut short."
            )
    return {key: k for k, key in enumerate(keys)}


def _counters(line: Any) -> tuple[int, ...]:
    """The counters of a line's image, in the order of ``IMAGES``."""
    return tuple(int(getattr(line.idx, name)) for name in IMAGES)


def _gathered(
    path: Path,
    lines: list[Any],
    images: dict[tuple[int, ...], int],
    size: tuple[int, int],
    shift: int,
) -> tuple[Complex, NDArray[np.bool_]]:
    """Lines at their places, repeated ones averaged.

    Args:
        path: The file, for errors.
        lines: Its acquisitions.
        images: The number of the image of every set of counters.
        size: (rows, columns) of k-space.
        shift: What takes a line's number to its row.

    Returns:
        k-space (images, coils, rows, columns), and where it was measured, (images, 1, rows,
        columns).
    """
    rows, columns = size
    total = np.zeros((len(images), len(lines[0].data), rows, columns), np.complex64)
    times = np.zeros((len(images), 1, rows, columns), np.float32)
    for line in lines:
        row = line.idx.kspace_encode_step_1 + shift
        if not 0 <= row < rows:
            raise InputError(
                f"{path.name} has a line outside the {rows} rows of its header; convert it again."
            )
        samples, first = _placed(path, line, columns)
        place = images[_counters(line)], slice(None), row, slice(first, first + samples.shape[1])
        total[place] += samples
        times[place] += 1
    return np.asarray(total / np.maximum(times, 1), dtype=np.complex64), times > 0


def _placed(path: Path, line: Any, columns: int) -> tuple[Complex, int]:
    """The samples (coils, n) of a line in the order of k-space, and the column of the first."""
    count, pre, post = line.data.shape[1], int(line.discard_pre), int(line.discard_post)
    samples = line.data[:, pre : max(count - post, pre)]
    length = samples.shape[1]
    backwards = line.is_flag_set(REVERSE)
    if backwards:
        samples = samples[:, ::-1]
    if length == columns:
        return samples, 0
    # A short line, of a partial echo: center_sample, counted from the first sample stored, goes
    # to the middle column.
    unsaid = line.center_sample == 0 and count == columns
    centre = columns // 2 if unsaid else int(line.center_sample)
    firsts = [columns // 2 - (centre - pre)]
    if backwards:
        # Some count it in the line as turned, others as stored; a partial echo reaches one end of
        # k-space, which tells.
        firsts = [columns // 2 - (centre - post), columns // 2 - (length - 1 - (centre - pre))]
    inside = [first for first in firsts if 0 <= first <= columns - length]
    if not 0 < length < columns or centre == 0 or not inside:
        raise InputError(
            f"{path.name} must hold lines of {columns} samples each, as its header says, or "
            "shorter ones whose center_sample says where they lie; convert it again."
        )
    ends = [first for first in inside if first in (0, columns - length)]
    return samples, (ends or inside)[0]


def _cropped(kspace: Complex, measured: NDArray[np.bool_], columns: int) -> Complex:
    """k-space of the middle ``columns`` of the image, the scanner's oversampling taken away, 0
    where nothing was ``measured``.
    """
    wide = kspace.shape[-1]
    if wide <= columns:
        return kspace
    # To the image along the columns, cropped, and back.
    image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, -1), norm="ortho"), -1)
    first = wide // 2 - columns // 2
    middle = image[..., first : first + columns]
    back = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(middle, -1), norm="ortho"), -1)
    # Columns are now farther apart: each was measured where the old one nearest to it was.
    places = wide // 2 + (np.arange(columns) - columns // 2) * (wide / columns)
    nearest = np.clip(np.rint(places).astype(int), 0, wide - 1)
    return np.where(measured[..., nearest], back, 0).astype(np.complex64)
