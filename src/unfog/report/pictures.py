"""Pictures from arrays: a picture is an array (height, width, 3) of uint8."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from unfog.errors import InputError

Picture = NDArray[np.uint8]


def _unit(image: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """A 2-D array with [low, high] mapped to [0, 1] and the rest clipped; NaN counts as 0."""
    values = np.asarray(image, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(f"A picture needs a 2-D array, got shape {values.shape}.")
    return np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1)


def grey(image: ArrayLike, low: float = 0.0, high: float = 1.0) -> Picture:
    """A 2-D array as grey levels.

    Args:
        image: (height, width).
        low: The value that is black.
        high: The value that is white.

    Returns:
        (height, width, 3), uint8.

    Raises:
        InputError: The array is not 2-D.
    """
    return np.repeat(np.rint(255 * _unit(image, low, high)).astype(np.uint8)[..., None], 3, -1)


def shown(image: ArrayLike, low: float = 0.0, high: float = 1.0) -> Picture:
    """An image as grey levels or in its own colours.

    Args:
        image: (1 or 3, height, width).
        low: The value that is dark in each channel.
        high: The value that is bright.

    Returns:
        (height, width, 3), uint8.

    Raises:
        InputError: The image has other channels.
    """
    channels = [grey(channel, low, high)[..., 0] for channel in np.asarray(image)]
    if len(channels) not in (1, 3):
        raise InputError(f"An image to show is grey or RGB; this one has {len(channels)} channels.")
    return np.stack(channels if len(channels) == 3 else 3 * channels, -1)


def colour(image: ArrayLike, low: float = 0.0, high: float = 1.0, table: str = "magma") -> Picture:
    """A 2-D array through one of matplotlib's colour tables.

    Args:
        image: (height, width).
        low: The value at the table's beginning.
        high: The value at its end.
        table: The table's name.

    Returns:
        (height, width, 3), uint8.
    """
    from matplotlib import colormaps  # half a second that grey pictures need not wait for

    return np.asarray(colormaps[table](_unit(image, low, high), bytes=True))[..., :3]


def enlarge(picture: Picture, width: int = 320) -> Picture:
    """A picture with whole pixels repeated until it is about ``width`` wide, so that browsers only
    ever shrink it.
    """
    factor = max(1, round(width / picture.shape[1]))
    return picture.repeat(factor, 0).repeat(factor, 1)


def mosaic(pictures: Sequence[Sequence[Picture]], gap: int = 2, background: int = 0) -> Picture:
    """Pictures of one size, laid out in rows as one picture.

    Args:
        pictures: Rows of pictures.
        gap: Pixels between them.
        background: The grey level of gaps and empty places.

    Returns:
        (height, width, 3), uint8.
    """
    height, width = pictures[0][0].shape[:2]
    rows, columns = len(pictures), max(map(len, pictures))
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), background, np.uint8
    )
    for r, row in enumerate(pictures):
        for c, picture in enumerate(row):
            canvas[r * (height + gap) :, c * (width + gap) :][:height, :width] = picture
    return canvas


def inline(picture: Picture, alt: str, width: int | None = None) -> str:
    """A picture as an HTML element that holds it.

    Args:
        picture: (height, width, 3).
        alt: The description for those who do not see it.
        width: Pixels that it is wide; as its place is by default.

    Returns:
        HTML, its text escaped.
    """
    data = base64.b64encode(png(picture)).decode()
    wide = f' width="{width}"' if width else ""
    return f'<img alt="{escape(alt)}"{wide} src="data:image/png;base64,{data}">'


def png(picture: Picture) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return file.getvalue()


# Letters of 3 x 5 pixels.
_LETTERS = {"L": ("100", "100", "100", "100", "111"), "R": ("110", "101", "110", "101", "101")}
_ROOM = 24  # pixels that a picture must be wide and high to be marked


def with_sides(picture: Picture) -> Picture:
    """A picture (height, width, 3) with L and R in its upper corners, for the patient's left and
    right; one smaller than 24 pixels as it is.
    """
    height, width = picture.shape[:2]
    if min(height, width) < _ROOM:
        return picture
    marked = picture.copy()
    for letter, left in (("L", 1), ("R", width - 4)):
        pixels = np.array([[int(bit) for bit in row] for row in _LETTERS[letter]], bool)
        marked[1:6, left : left + 3][pixels] = 255
        marked[1:6, left : left + 3][~pixels] = 0
    return marked
