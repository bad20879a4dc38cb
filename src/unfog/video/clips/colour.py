r"""Colours of video: luma and two differences of colour, by the matrix and the range that a file
states.

    Y = k_r R + k_g G + k_b B,   U = (B - Y) / (2 - 2 k_b),   V = (R - Y) / (2 - 2 k_r),

in 8 bits with Y from 16 to 235 and U, V from 16 to 240 (limited), or 0 to 255 (full).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# (k_r, k_b) by the number that FFmpeg gives the matrix.
BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)
MATRICES = {1: BT709, 5: BT601, 6: BT601, 9: BT2020, 10: BT2020}
UNSPECIFIED, LIMITED, FULL = 0, 1, 2  # ranges, by FFmpeg's number
HIGH_DEFINITION = 720  # rows from which files that state no matrix have that of BT.709


def matrix_of(number: int, rows: int) -> tuple[float, float]:
    """(k_r, k_b) of FFmpeg's number for a matrix; where a file states none, by its rows."""
    return MATRICES.get(number, BT709 if rows >= HIGH_DEFINITION else BT601)


def to_rgb(yuv: NDArray[np.uint8], matrix: tuple[float, float], full: bool) -> NDArray[np.uint8]:
    """Luma and differences of colour as RGB.

    Args:
        yuv: (3, rows, columns).
        matrix: (k_r, k_b).
        full: Whether values go from 0 to 255.

    Returns:
        (3, rows, columns), from 0 to 255.
    """
    k_r, k_b = matrix
    y, u, v = yuv.astype(np.float32)
    luma = y if full else (y - 16) * np.float32(255 / 219)
    stretch = np.float32(1 if full else 255 / 224)
    red = luma + np.float32(2 - 2 * k_r) * stretch * (v - 128)
    blue = luma + np.float32(2 - 2 * k_b) * stretch * (u - 128)
    green = (luma - np.float32(k_r) * red - np.float32(k_b) * blue) / np.float32(1 - k_r - k_b)
    return np.stack([red, green, blue]).round().clip(0, 255).astype(np.uint8)


def from_rgb(rgb: NDArray[np.uint8], matrix: tuple[float, float] = BT709) -> NDArray[np.uint8]:
    """RGB, or grey, as limited luma and differences of colour.

    Args:
        rgb: (3 or 1, rows, columns), from 0 to 255.
        matrix: (k_r, k_b).

    Returns:
        (3, rows, columns).
    """
    k_r, k_b = matrix
    red, green, blue = np.broadcast_to(rgb, (3, *rgb.shape[1:])).astype(np.float32)
    luma = k_r * red + (1 - k_r - k_b) * green + k_b * blue
    u, v = (blue - luma) / (2 - 2 * k_b), (red - luma) / (2 - 2 * k_r)
    stacked = np.stack([16 + luma * 219 / 255, 128 + u * 224 / 255, 128 + v * 224 / 255])
    return stacked.round().clip(0, 255).astype(np.uint8)


def subsampled(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A plane (rows, columns) of even sides at half the size, each value the mean of four."""
    rows, columns = plane.shape
    blocks = plane.reshape(rows // 2, 2, columns // 2, 2).astype(np.float32)
    return np.asarray(blocks.mean((1, 3)).round().astype(np.uint8))
