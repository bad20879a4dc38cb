"""A clip: frames, each with its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

Frames = NDArray[Any]
Times = NDArray[np.float64]
STEADY = 0.25  # share of a frame by which the clocks of WebM and GIF may round a constant rate
WHOLE = 5e-4  # relative, of a rate that is a whole number but for rounding
ASSUMED = 8.0  # frames a second where nothing says


@dataclass(frozen=True)
class Clip:
    """Frames in the order of their times.

    Args:
        frames: (frames, channels, rows, columns), in the file's own type and units; 1 channel is
            grey, 3 are RGB.
        times: Of each frame, in seconds, rising, (frames,).
        notes: Sentences on what was changed or assumed in reading.
        name: Of the file, for messages.
    """

    frames: Frames
    times: Times
    notes: tuple[str, ...] = ()
    name: str = "the clip"

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[1] not in (1, 3):
            raise InputError(
                f"{self.name} has shape {self.frames.shape}; a clip is (frames, channels, rows, "
                "columns), grey or RGB."
            )
        if len(self.frames) < 2:
            raise InputError(
                f"{self.name} is a still; a clip has 2 frames or more, so give a video, or take "
                "the picture as a picture."
            )
        if self.times.shape != (len(self.frames),) or bool((np.diff(self.times) <= 0).any()):
            raise InputError(f"{self.name} has frames whose times do not rise; encode it again.")

    @property
    def fps(self) -> float:
        """Frames a second, by the line of least squares through the times, and a whole number where
        it is that but for rounding.
        """
        number = np.arange(len(self.times)) - (len(self.times) - 1) / 2
        rate = float((number**2).sum() / (number @ self.times))
        return float(round(rate)) if abs(rate - round(rate)) < WHOLE * rate else rate

    @property
    def steady(self) -> bool:
        """Whether the frames come at a constant rate, but for rounding."""
        late = self.times - np.arange(len(self.times)) / self.fps
        return bool((np.abs(late - late.mean()) * self.fps < STEADY).all())

    @property
    def high(self) -> float:
        """The value of white: that of the type, or 1 for real numbers."""
        whole = self.frames.dtype.kind in "iu"
        return float(np.iinfo(self.frames.dtype).max) if whole else 1.0

    def first(self, count: int) -> Clip:
        """The first frames; ``InputError`` where there are fewer."""
        if len(self.frames) < count:
            raise InputError(
                f"{self.name} has {len(self.frames)} frames and {count} are asked for; ask for "
                "fewer, or give a longer clip."
            )
        return replace(self, frames=self.frames[:count], times=self.times[:count])

    def steadied(self) -> Clip:
        """The clip at a constant rate: as it is, or with frames at its middle rate, which a note
        says.
        """
        if self.steady:
            return self
        # Most frames come at the middle distance; it is rounded to a whole number of frames a
        # second where that is near.
        rate = 1 / float(np.median(np.diff(self.times)))
        return resampled(self, float(round(rate)) if abs(rate - round(rate)) < 0.02 else rate)


def resampled(clip: Clip, fps: float) -> Clip:
    """A clip at a constant rate: at each time the frame that is on the screen then, which is the
    last one before it.

    Args:
        clip: The clip.
        fps: Frames a second.

    Returns:
        The clip, with a note.

    Raises:
        InputError: The rate is not above 0.
    """
    if not 0 < fps < np.inf:
        raise InputError(f"A frame rate is a number above 0, not {fps}.")
    begun, length = clip.times[0], clip.times[-1] - clip.times[0]
    times = begun + np.arange(int(length * fps + 1e-6) + 1) / fps
    shown = np.searchsorted(clip.times, times + 1e-6 / fps, side="right") - 1
    kind = "a constant" if clip.steady else "a variable"
    note = f"It has {kind} rate of {clip.fps:.4g} frames a second and is taken at {fps:.4g}."
    return Clip(clip.frames[shown], times, (*clip.notes, note), clip.name)


def evenly(frames: Frames, fps: float, name: str, notes: Sequence[str] = ()) -> Clip:
    """A clip of frames at a constant rate.

    Args:
        frames: (frames, channels, rows, columns).
        fps: Frames a second.
        name: For messages.
        notes: Sentences on it.

    Returns:
        The clip, from time 0.
    """
    return Clip(frames, np.arange(len(frames)) / fps, tuple(notes), name)
