"""Clips that are no video files: folders of frames, arrays, and series of volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unfog.errors import InputError
from unfog.files.listing import files_below
from unfog.files.nifti import read_nifti
from unfog.files.numpy_files import read_array
from unfog.files.orientation import upright
from unfog.files.pictures import read_image
from unfog.video.clips.clip import ASSUMED, Clip, evenly

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}  # a unit of time by NIfTI's code


def _assumed(fps: float | None) -> tuple[float, tuple[str, ...]]:
    """The rate of frames that state none, and a note where it is assumed."""
    if fps is not None:
        return fps, ()
    return ASSUMED, (f"It states no frame rate; {ASSUMED:g} frames a second are assumed.",)


def is_sequence(folder: Path) -> bool:
    """Whether a folder holds pictures and nothing of video: one clip, frame by frame."""
    return folder.is_dir() and any(p.suffix.lower() in PICTURES for p in folder.iterdir())


def read_sequence(folder: Path, fps: float | None = None) -> Clip:
    """The pictures of a folder, in the order of their names, as one clip.

    Args:
        folder: Of pictures of one size.
        fps: Frames a second; assumed where none are given.

    Returns:
        The clip.

    Raises:
        InputError: There are no pictures, or they differ.
    """
    names = [p for p in files_below(folder) if p.parent == folder and p.suffix.lower() in PICTURES]
    pictures = [read_image(path) for path in names]
    kinds = {(picture.shape, picture.dtype) for picture in pictures}
    if len(kinds) != 1:
        raise InputError(
            f"{folder.name} holds {len(pictures)} pictures of {len(kinds)} kinds; the frames of a "
            "clip are of one size and depth."
        )
    rate, notes = _assumed(fps)
    return evenly(np.stack(pictures), rate, folder.name, notes)


def read_frames_array(path: Path, fps: float | None = None) -> Clip:
    """A .npy of frames (frames, rows, columns), (frames, channels, rows, columns) or (frames, rows,
    columns, 3) as a clip.

    Args:
        path: The file.
        fps: Frames a second; assumed where none are given.

    Returns:
        The clip, in float32.

    Raises:
        InputError: The array has another shape.
    """
    x = read_array(path)
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = np.moveaxis(x, 3, 1)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise InputError(
            f"{path.name} has shape {x.shape}; a clip is (frames, rows, columns) or (frames, "
            "channels, rows, columns), grey or RGB."
        )
    rate, notes = _assumed(fps)
    return evenly(x, rate, path.name, notes)


def read_series(path: Path, fps: float | None = None) -> list[Clip]:
    """A NIfTI series (x, y, z, t) as clips, one a slice: its axial slices over time, upright.

    Args:
        path: The file.
        fps: Frames a second; those of the header, or assumed, where none are given.

    Returns:
        The clips, from the lowest slice up, in the file's own units.

    Raises:
        InputError: The file holds one volume alone.
    """
    volume = read_nifti(path)
    if volume.data.ndim != 4 or volume.data.shape[3] < 2:
        raise InputError(
            f"{path.name} holds one volume, which is no clip; give a series (x, y, z, t)."
        )
    # The time between volumes, in seconds.
    units = int(volume.header["xyzt_units"]) & 0x38
    step = float(volume.header.get_zooms()[3]) * _SECONDS.get(units, 0.0)
    rate, notes = _assumed(fps if fps is not None or step <= 0 else 1 / step)
    # (x, y, z, t) upright; rows from the top of the head down.
    data = upright(volume)
    stack = np.flip(np.transpose(data, (2, 3, 1, 0)), 2)
    return [
        evenly(np.ascontiguousarray(one[:, None]), rate, f"{path.name}, slice {z}", notes)
        for z, one in enumerate(stack)
    ]
