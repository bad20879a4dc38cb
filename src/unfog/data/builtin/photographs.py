"""The data set ``photographs``: squares of photographs in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.core.random import generator
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import MissingExtra

FILES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "rocket.jpg",
)
SIDE = 64
OCTAVES = 3  # a picture at its own size, a half, and a quarter
TRAINING = 0.75  # of the columns; squares of ``test`` come from the rest
COUNT = {"train": 8000, "test": 400}


@datasets.register("photographs")
class Photographs(ArrayDataset):
    """Squares (3, 64, 64) in [0, 255] of the photographs in colour that come with scikit-image: a
    portrait, a cat, a cup, galaxies, tissue, an eye's retina, a rocket; each at its own size, a
    half or a quarter of it, wherever a square fits, mirrored or not.

    Args:
        split: ``train``, of the left three quarters of each, or ``test``, of the rest.
        count: How many; 8000 and 400 by default.
    """

    def __init__(self, split: str = "train", count: int = 0) -> None:
        choose("The split of photographs", split, tuple(COUNT))
        count = count or COUNT[split]
        pictures = [picture for name in FILES for picture in _octaves(name, split)]
        x = np.empty((count, 3, SIDE, SIDE), np.uint8)
        for k in range(count):
            numbers = np.random.default_rng(generator("photographs", split, k).initial_seed())
            picture = pictures[int(numbers.integers(len(pictures)))]
            row, column = (int(numbers.integers(n - SIDE + 1)) for n in picture.shape[:2])
            square = picture[row : row + SIDE, column : column + SIDE]
            mirrored = square[:, ::-1] if numbers.integers(2) else square
            x[k] = np.moveaxis(mirrored, 2, 0)
        super().__init__(
            "photographs", x, {"name": "range", "low": 0, "high": 255}, options={"split": split}
        )


def _octaves(name: str, split: str) -> list[NDArray[np.uint8]]:
    """A photograph's part (rows, columns, 3) at each size that holds a square."""
    try:
        import skimage.data
    except ImportError as error:
        raise MissingExtra("demo", "scikit-image") from error
    with Image.open(Path(skimage.data.__file__).with_name(name)) as picture:
        whole = np.asarray(picture.convert("RGB"))
    border = round(TRAINING * whole.shape[1])
    part = Image.fromarray(whole[:, :border] if split == "train" else whole[:, border:])
    sizes = [(part.width >> octave, part.height >> octave) for octave in range(OCTAVES)]
    return [
        np.asarray(part.resize(size, Image.Resampling.BOX)) for size in sizes if min(size) >= SIDE
    ]
