"""The data set ``garments``: pictures of clothes with all that a designer asks for, measured from
the pictures themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.core.named_class import named
from unfog.data.builtin.labelled_pictures import CLOTHES, fashion_mnist
from unfog.data.builtin.packages import cache_folder
from unfog.data.dataset import ArrayDataset, datasets, open_dataset
from unfog.errors import InputError
from unfog.fashion.attributes import ATTRIBUTES, attributes_of, figure_of
from unfog.fashion.sketch import sketch_of
from unfog.files.numpy_files import keep_array, kept_array
from unfog.progress import progress


class Garments(ArrayDataset):
    """Grey pictures of garments on black, with

        label       the class, where the pictures have one
        property    the attributes (``fashion.attributes``), each less its mean over its deviation
        silhouette  the figure as a mask, background 0 and garment 1
        sketch      the edges, 1 on a line and 0 elsewhere (``fashion.sketch``)

    Args:
        pictures: Samples (samples, 1, rows, columns), with classes or without.
        sketches: Their edges, likewise, uint8.
        scales: Of each attribute its mean, deviation, smallest and largest value, by name; measured
            on these pictures by default.

    Attributes:
        scales: As above; they stand in a run's config.
        attributes: The attributes as measured, (samples, 5).
    """

    def __init__(
        self,
        pictures: ArrayDataset,
        sketches: NDArray[np.uint8],
        scales: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        x = _unit(pictures)
        self.attributes = attributes_of(x)
        self.scales = dict(scales or _scales(self.attributes))
        mean, deviation = np.array([scale[:2] for scale in self.scales.values()]).T
        values: dict[str, Any] = {
            "property": ((self.attributes.numpy() - mean) / deviation).astype(np.float32),
            "silhouette": figure_of(x).numpy().astype(np.uint8),
            "sketch": sketches,
        }
        conditions: dict[str, dict[str, Any]] = {
            "property": {"name": "numbers", "size": len(ATTRIBUTES)},
            "silhouette": {"name": "mask", "classes": 2},
            "sketch": {"name": "spatial", "channels": 1},
        }
        if "label" in pictures.conditions:
            values["label"] = pictures.arrays["label"]
            conditions = {"label": named(getattr(pictures, "classes", CLOTHES)), **conditions}
        super().__init__(
            "garments",
            pictures.arrays["x"],
            pictures.codec,
            conditions,
            values,
            {"of": pictures.fingerprint},
        )


@datasets.register("garments")
def garments(split: str = "train", path: str | None = None) -> Garments:
    """``Garments`` of Fashion-MNIST, or of a folder or an array of grey pictures of one size.

    Args:
        split: Of Fashion-MNIST, ``train`` or ``test``; the attributes' scales are those of
            ``train`` in both.
        path: Pictures of garments on black in place of it, which need no labels.

    Returns:
        The data set.

    Raises:
        InputError: The pictures are not grey, or there is no such split.
    """
    if path is not None:
        return _of_files(path)
    pictures = fashion_mnist(split)
    x = _unit(fashion_mnist("train")) if split != "train" else None
    scales = None if x is None else _scales(attributes_of(x))
    file = cache_folder() / "garments" / f"sketches-{split}.npy"
    sketches = kept_array(file, pictures.arrays["x"].shape, np.uint8)
    if sketches is None:
        with progress("drawing edges") as report:
            sketches = sketch_of(_unit(pictures), report)
        keep_array(file, sketches)
    return Garments(pictures, np.asarray(sketches), scales)


def _of_files(path: str) -> Garments:
    """The garments in files."""
    source = open_dataset(path)
    if len(source.shape) != 3 or source.shape[0] != 1 or source.codec.get("name") != "range":
        raise InputError(
            f"{path} holds samples of {tuple(source.shape)}; garments are grey pictures, (1, rows, "
            "columns): convert them."
        )
    x = source.batch(range(len(source)))["x"].numpy()
    pictures = ArrayDataset("garments", x, source.codec, options={"path": source.fingerprint})
    return Garments(pictures, sketch_of(_unit(pictures)))


def _unit(pictures: ArrayDataset) -> torch.Tensor:
    """The pictures in [0, 1]."""
    low, high = float(pictures.codec["low"]), float(pictures.codec["high"])
    x = pictures.arrays["x"].astype(np.float32)
    return torch.from_numpy((x - np.float32(low)) / np.float32(high - low))


def _scales(attributes: torch.Tensor) -> dict[str, tuple[float, ...]]:
    """Of each attribute its mean, deviation, smallest and largest value."""
    a = attributes.double()
    ends = [a.mean(0), a.std(0).clamp(min=1e-6), a.amin(0), a.amax(0)]
    rows = torch.stack(ends, 1).tolist()
    return {name: tuple(row) for name, row in zip(ATTRIBUTES, rows, strict=True)}
