r"""Optical flow by scikit-image (TV-L1: Zach, Pock & Bischof 2007), and frames moved along it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import MissingExtra

Array = NDArray[np.float64]
# TV-L1's weight of the data against smoothness, for values in [0, 1]; its default is 15.
ATTACHMENT = 15.0


def _library() -> Any:
    try:
        from skimage import registration, transform
    except ImportError as error:
        raise MissingExtra("video", "scikit-image") from error
    return registration, transform


def flows(clip: Array) -> Array:
    """The flow from each frame back to the one before: frame t at a point p shows what frame t - 1
    showed at p + flow.

    Args:
        clip: (frames, channels, rows, columns), in [0, 1]; the mean of the channels is followed.

    Returns:
        (frames - 1, 2, rows, columns), down and right, in pixels.
    """
    registration, _ = _library()
    grey = clip.mean(1)
    return np.stack(
        [
            registration.optical_flow_tvl1(after, before, attachment=ATTACHMENT)
            for before, after in pairwise(grey)
        ]
    ).astype(np.float64)


def warped(frame: Array, flow: Array) -> Array:
    """A frame moved along a flow: at p what it shows at p + flow; what comes from outside repeats
    the border.

    Args:
        frame: (channels, rows, columns).
        flow: (2, rows, columns), in pixels.

    Returns:
        (channels, rows, columns).
    """
    _, transform = _library()
    places = np.indices(frame.shape[1:]) + flow
    return np.stack([transform.warp(channel, places, mode="edge") for channel in frame])


def extrapolated(clip: Array, frames: int) -> Array:
    """The next frames by the last flow, as if what moves went on straight: a baseline.

    Args:
        clip: (frames given, channels, rows, columns), in [0, 1], 2 or more.
        frames: To add.

    Returns:
        (frames, channels, rows, columns).
    """
    flow = flows(clip[-2:])[0]
    return np.stack([warped(clip[-1], flow * (k + 1)) for k in range(frames)])
