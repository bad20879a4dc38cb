"""Frames made smaller, and grey."""

from __future__ import annotations

import numpy as np
from PIL import Image

from unfog.video.clips.clip import Frames
from unfog.video.clips.decode import Change, Picture

LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601


def reduced(side: int, enlarge: bool = False) -> Change:
    """The change of a frame to a shorter side of so many pixels, each the mean of what it covers.

    Args:
        side: In pixels.
        enlarge: Whether smaller frames are made larger, linearly between their pixels; they stay as
            they are otherwise.

    Returns:
        A function of a frame (channels, rows, columns) of 8 bits.
    """

    def change(picture: Picture) -> Picture:
        rows, columns = picture.shape[1:]
        scale = side / min(rows, columns)
        if scale == 1 or (scale > 1 and not enlarge):
            return picture
        size = (round(columns * scale), round(rows * scale))
        how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        return np.stack([np.asarray(Image.fromarray(c).resize(size, how)) for c in picture])

    return change


def luma(frames: Frames) -> Frames:
    """Frames (frames, 1 or 3, rows, columns) as grey ones (frames, 1, rows, columns), in their own
    type.
    """
    if frames.shape[1] == 1:
        return frames
    grey = np.einsum("c,tcyx->tyx", np.array(LUMA), frames.astype(np.float64))[:, None]
    whole = frames.dtype.kind in "iu"
    return np.asarray((grey.round() if whole else grey).astype(frames.dtype))
