r"""How fast objects on a dark ground move, by their centres."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import MissingExtra

Array = NDArray[np.float64]
DARK = 0.08  # of the range, below which a pixel is ground
LEAST = 20  # pixels of an object
GAP = 3  # pixels of ground between the parts of one
FARTHEST = 12.0  # pixels that an object may be taken to have moved between two frames


def speeds(clips: Tensor, fps: Tensor | Array, value_range: float = 1.0, objects: int = 2) -> Array:
    """The speeds of the objects in clips: between two frames that both show all of them apart, each
    is matched to the nearest of the next, and its centre, weighted by brightness, is followed.

    Args:
        clips: (batch, 1, frames, rows, columns), dark ground at 0.
        fps: Frames a second of each clip, (batch,).
        value_range: The range of values.
        objects: That a clip shows.

    Returns:
        All speeds, in pixels a second, (number of them,).
    """
    found = []
    for clip, rate in zip(clips[:, 0].double().numpy() / value_range, np.asarray(fps), strict=True):
        places = [centres(frame) for frame in clip]
        for before, after in pairwise(places):
            if len(before) == len(after) == objects:
                found.append(_moves(before, after) * float(np.squeeze(rate)))
    return np.concatenate(found) if found else np.zeros(0)


def centres(frame: Array) -> Array:
    """The centres of the objects in a frame (rows, columns), (objects, 2): the parts brighter than
    the ground that are less than ``GAP`` pixels apart, weighted by their brightness.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingExtra("video", "scipy") from error
    library: Any = ndimage
    bright = frame > DARK
    near = library.binary_dilation(bright, np.ones((GAP, GAP)))
    labels, count = library.label(near, structure=np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    sizes = library.sum_labels(bright.astype(np.float64), labels, numbers)
    chosen = numbers[np.asarray(sizes) >= LEAST]
    return np.array(library.center_of_mass(frame, labels, chosen)).reshape(-1, 2)


def _moves(before: Array, after: Array) -> Array:
    """How far each of as many objects moved, in pixels, (objects,); nothing where the nearest of
    two are the same.
    """
    distance = np.linalg.norm(before[:, None] - after[None], axis=2)
    nearest = distance.argmin(1)
    if len(set(nearest)) < len(nearest):
        return np.zeros(0)
    moves = distance.min(1)
    return np.asarray(moves[moves <= FARTHEST])
