"""Squares cut out of pictures: the middle ones, and in training random ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from unfog.data.dataset import Dataset, Ids, fingerprint
from unfog.errors import InputError


class Crops(Dataset):
    """Squares (channels, side, side) of the pictures of another data set, whose captions and
    conditions without a grid they keep. Sample i is the middle of picture i; training (``draw``)
    takes a square at random.

    Args:
        dataset: Pictures (channels, rows, columns).
        side: Of the squares, in pixels.

    Raises:
        InputError: The data are no pictures, smaller than a square, or have maps as conditions.
    """

    def __init__(self, dataset: Dataset, side: int) -> None:
        if len(dataset.shape) != 3 or not 1 <= side <= min(dataset.shape[1:]):
            raise InputError(
                f"Squares of {side} pixels are cut out of pictures at least as large, not of "
                f"samples {tuple(dataset.shape)}; set data.crop to less."
            )
        maps = [n for n, part in dataset.conditions.items() if part["name"] in ("mask", "spatial")]
        if maps:
            raise InputError(
                f"The condition {maps[0]} of {dataset.name} lies on whole pictures; leave out "
                "data.crop."
            )
        self.dataset, self.side, self.name = dataset, side, dataset.name
        self.shape, self.codec = (dataset.shape[0], side, side), dataset.codec
        self.conditions, self.captions = dataset.conditions, dataset.captions
        self.format, self.voxel = dataset.format, dataset.voxel
        self.fingerprint = fingerprint({}, {"of": dataset.fingerprint, "crop": side})

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        middle = [(n - self.side) // 2 for n in self.dataset.shape[1:]]
        return self._cut(ids, [middle] * len(self.index(ids)))

    def draw(self, ids: Ids, generators: Sequence[Generator]) -> dict[str, Tensor]:
        corners = [
            [
                int(torch.randint(0, n - self.side + 1, (), generator=g))
                for n in self.dataset.shape[1:]
            ]
            for g in generators
        ]
        return self._cut(ids, corners)

    def _cut(self, ids: Ids, corners: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """The samples, each cut at its corner (row, column)."""
        values = self.dataset.batch(ids)
        squares = [
            x[:, row : row + self.side, column : column + self.side]
            for x, (row, column) in zip(values["x"], corners, strict=True)
        ]
        return {**values, "x": torch.stack(squares)}


def cropped(dataset: Dataset, side: int | None) -> Dataset:
    """Squares of a data set's pictures, or the data as they are where ``side`` is None."""
    return dataset if side is None else Crops(dataset, side)
