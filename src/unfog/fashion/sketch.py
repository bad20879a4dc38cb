"""Sketches of garments: edges by Canny's detector (Canny 1986), of scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import MissingExtra
from unfog.progress import Report

DEVIATION = 0.8  # pixels of the blur before the slope is taken
LOW, HIGH = 0.1, 0.2  # of the hysteresis, slopes of grey in [0, 1]


def sketch_of(x: Tensor, report: Report | None = None) -> NDArray[np.uint8]:
    """The edges of pictures.

    Args:
        x: (batch, 1, rows, columns), grey in [0, 1].
        report: Told (pictures done, pictures in all).

    Returns:
        Of the same shape, uint8: 1 on an edge, 0 elsewhere.
    """
    try:
        import skimage.feature
    except ImportError as error:
        raise MissingExtra("demo", "scikit-image") from error
    lines = np.zeros(tuple(x.shape), np.uint8)
    detect: Any = skimage.feature.canny
    for k, picture in enumerate(x[:, 0].numpy()):
        lines[k, 0] = detect(picture, sigma=DEVIATION, low_threshold=LOW, high_threshold=HIGH)
        if report is not None and k % 500 == 0:
            report(k, len(lines))
    return lines
