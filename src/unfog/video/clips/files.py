"""A clip out of whatever holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unfog.errors import InputError
from unfog.video.clips.clip import Clip, resampled
from unfog.video.clips.decode import Change, decode
from unfog.video.clips.series import is_sequence, read_frames_array, read_sequence, read_series

VIDEOS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
SERIES = (".nii", ".nii.gz")


def read_clips(path: Path, fps: float | None = None, change: Change | None = None) -> list[Clip]:
    """The clips in a file or in a folder of frames, at a constant rate.

    Args:
        path: A video file, a .npy of frames, a NIfTI series, or a folder of pictures.
        fps: Take them at so many frames a second; at their own rate without.
        change: Applied to each frame of a video file as it is read.

    Returns:
        One clip, or one for each slice of a series.

    Raises:
        InputError: The path holds no clip, or is damaged.
    """
    name = path.name.lower()
    if is_sequence(path):
        return [read_sequence(path, fps)]
    if name.endswith(".npy"):
        return [read_frames_array(path, fps)]
    if name.endswith(SERIES):
        return read_series(path, fps)
    if not path.exists():
        raise InputError(f"There is no file or folder {path}; check the path.")
    if not name.endswith(VIDEOS):
        raise InputError(
            f"{path.name} is no clip; give a video ({', '.join(VIDEOS)}), a folder of frames, a "
            ".npy or a NIfTI series."
        )
    clip = decode(path, change)
    return [clip.steadied() if fps is None or _near(clip, fps) else resampled(clip, fps)]


def read_clip(path: Path, fps: float | None = None, slice_number: int | None = None) -> Clip:
    """The one clip in a file or in a folder of frames.

    Args:
        path: As of ``read_clips``.
        fps: Likewise.
        slice_number: Of a series, the slice; the middle one by default.

    Returns:
        The clip.

    Raises:
        InputError: As of ``read_clips``, or there is no such slice.
    """
    clips = read_clips(path, fps)
    chosen = len(clips) // 2 if slice_number is None else slice_number
    if not 0 <= chosen < len(clips):
        raise InputError(f"{path.name} has slices 0 to {len(clips) - 1}, not {chosen}.")
    clip = clips[chosen]
    if len(clips) == 1 or slice_number is not None:
        return clip
    return replace(clip, notes=(*clip.notes, f"Of {len(clips)} slices the middle one is taken."))


def _near(clip: Clip, fps: float) -> bool:
    """Whether a clip has a rate already."""
    return clip.steady and abs(clip.fps - fps) < 1e-3 * fps
