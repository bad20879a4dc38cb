"""Small public data sets of labelled pictures: ``fashion-mnist`` and ``digits``."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.packages import member
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError, MissingExtra

CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
DIGITS = tuple("0123456789")


class LabelledPictures(ArrayDataset):
    """Pictures with a class label as the condition ``label``; ``classes`` names the labels, which
    are the pictures' captions.

    Args:
        name: The data set's name.
        x: The pictures (samples, channels, rows, columns).
        labels: Their classes (samples,), integers.
        classes: The names of the classes.
        high: The largest value of a pixel; the smallest is 0.
        options: What the data set was opened with, for its fingerprint.
    """

    def __init__(
        self,
        name: str,
        x: NDArray[Any],
        labels: NDArray[Any],
        classes: tuple[str, ...],
        high: float,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.classes = classes
        self.captions = tuple(classes[int(number)] for number in labels)
        conditions = {"label": {"name": "class", "count": len(classes)}}
        super().__init__(
            name,
            x,
            {"name": "range", "low": 0, "high": high},
            conditions,
            {"label": labels},
            options,
        )


def fashion_mnist(split: str = "train", count: int | None = None) -> LabelledPictures:
    """Fashion-MNIST (Xiao et al. 2017): 60000 (``train``) or 10000 (``test``) grey pictures of
    clothes (1, 28, 28) in [0, 255], 10 classes; the first ``count`` of them where it is given.
    """
    if count is not None and count < 1:
        raise InputError(f"The count of fashion-mnist is at least 1, not {count}.")
    choose("The split of fashion-mnist", split, ("train", "test"))
    part = {"train": "train", "test": "t10k"}[split]
    x = _idx(member("dataset-fashion-mnist", f"{part}-images-idx3-ubyte.gz"), 3)
    labels = _idx(member("dataset-fashion-mnist", f"{part}-labels-idx1-ubyte.gz"), 1)
    options = {"split": split} if count is None else {"split": split, "count": count}
    return LabelledPictures("fashion-mnist", x[:count, None], labels[:count], CLOTHES, 255, options)


datasets.register("fashion-mnist")(fashion_mnist)


def _idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """An idx file of bytes: zero, zero, type 8, the number of dimensions, each as a big-endian
    int32, then the bytes.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
        sizes = np.frombuffer(raw, ">i4", dims, 4)
        if raw[:4] != bytes((0, 0, 8, dims)):
            raise ValueError
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(sizes)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"{path.name} in the cache is damaged; delete its folder and fetch it again."
        ) from error


@datasets.register("digits")
def digits() -> LabelledPictures:
    """scikit-learn's digits (Alpaydin & Kaynak 1998): 1797 handwritten digits (1, 8, 8) in [0, 16],
    10 classes.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingExtra("lab", "scikit-learn") from error
    data = load_digits()
    return LabelledPictures(
        "digits", data.images[:, None].astype(np.uint8), data.target, DIGITS, 16
    )
