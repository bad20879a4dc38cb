"""The data set ``textures``: photographs of brick, grass and gravel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError, MissingExtra

PHOTOGRAPHS = ("brick", "grass", "gravel")
COLUMNS = {"train": (0, 320), "validation": (328, 400), "test": (408, 512)}
SIDE, STRIDE = 64, 8


@datasets.register("textures")
class Textures(ArrayDataset):
    """Squares (1, 64, 64) of the three photographs of natural textures that come with scikit-image,
    grey levels in [0, 1]; ``photograph`` (samples,) is the number of each one's photograph.

    A photograph has 512 x 512 pixels, and its splits are strips of columns, with 8 pixels between
    them that are in no split:

        train  0 .. 319        validation  328 .. 399        test  408 .. 511

    Training squares begin at every 8th pixel and overlap; in validation and test none overlaps
    another, unless ``stride`` says so.

    Args:
        split: ``train``, ``validation`` or ``test``.
        stride: Pixels from one square to the next, 1 to 64; None for those above.

    Raises:
        InputError: There is no such split or stride.
    """

    def __init__(self, split: str = "train", stride: int | None = None) -> None:
        choose("The split of textures", split, tuple(COLUMNS))
        if stride is not None and not 1 <= stride <= SIDE:
            raise InputError(f"The stride of textures is 1 to {SIDE} pixels, not {stride}.")
        first, end = COLUMNS[split]
        options = {"split": split, **({} if stride is None else {"stride": stride})}
        stride = stride or (STRIDE if split == "train" else SIDE)
        parts = [_squares(photograph(name)[:, first:end], stride) for name in PHOTOGRAPHS]
        self.photograph = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        x = np.concatenate(parts)[:, None].astype(np.float32) / 255
        super().__init__("textures", x, {"name": "range", "low": 0, "high": 1}, options=options)


def _squares(strip: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """(squares, 64, 64) of a strip of a photograph."""
    windows = np.lib.stride_tricks.sliding_window_view(strip, (SIDE, SIDE))[::stride, ::stride]
    return np.ascontiguousarray(windows.reshape(-1, SIDE, SIDE))


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph (512, 512) in grey."""
    try:
        import skimage.data
    except ImportError as error:
        raise MissingExtra("demo", "scikit-image") from error
    with Image.open(Path(skimage.data.__file__).with_name(f"{name}.png")) as picture:
        return np.asarray(picture.convert("L"))
