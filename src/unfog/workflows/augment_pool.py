"""The pictures of an augmentation study: real ones with their labels, and those that a run draws
for such labels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unfog.core.random import generator, generators
from unfog.data.augment import augmentations, warp_mask
from unfog.data.dataset import Dataset
from unfog.files.numpy_files import read_array
from unfog.files.output import write_bytes
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.workflows.judged import real_samples, to_unit

PART = 250  # pictures that are drawn and kept at a time
Done = Callable[[], None]


@dataclass(frozen=True)
class Labelled:
    """Pictures x (n, channels, rows, columns) in [0, 1], and their targets (n, ...)."""

    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, dataset: Dataset, name: str, ids: Tensor) -> Labelled:
        """Samples of a data set by number, with the condition of that name as the target."""
        return cls(real_samples(dataset, ids)[0], dataset.batch(ids)[name])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Labelled:
        return Labelled(self.x[rows], self.target[rows])

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled(torch.cat([self.x, other.x]), torch.cat([self.target, other.target]))


def chosen(dataset: Dataset, name: str, count: int, seed: int) -> Tensor:
    """The numbers of so many samples at random, as many of each class as there can be where the
    condition of that name is one; fewer samples of the same seed are the first of more.
    """
    order = torch.randperm(len(dataset), generator=generator(seed, "labelled"))
    if dataset.conditions[name]["name"] == "mask":
        return order[:count]
    # The first of each class, the second of each class, and so on.
    label = dataset.batch(order)[name]
    rank = torch.zeros(len(order), dtype=torch.long)
    for k in torch.unique(label):
        rank[label == k] = torch.arange(int((label == k).sum()))
    return order[torch.argsort(rank, stable=True)[:count]]


@dataclass(frozen=True)
class Synthetic:
    """Pictures that a run draws for real labels; kept in a folder in parts, so that a study that
    was stopped draws none again.

    Args:
        run: The run.
        plan: Its sampler and times.
        name: The condition that is told; the others are left free.
        guidance: The scale of its classifier-free guidance; None for none.
        dataset: The data, for their range.
        folder: Where they are kept.
    """

    run: Run
    plan: Plan
    name: str
    guidance: float | None
    dataset: Dataset
    folder: Path

    def of(self, real: Labelled, copies: int, seed: int, done: Done = lambda: None) -> Labelled:
        """One picture for each label, then another for each, and so on.

        Args:
            real: The labelled pictures; the pictures themselves are not looked at.
            copies: Pictures a label.
            seed: Of the pictures.
            done: Called after each part of 250 pictures.

        Returns:
            (copies * n) pictures. Masks are moved first, as the run's training moved them.
        """
        target = self._targets(real.target, copies, seed)
        parts = []
        for start in range(0, len(target), PART):
            file = self.folder / f"seed-{seed}-labels-{len(real)}-from-{start:06d}.npy"
            parts.append(self._part(file, target[start : start + PART], start, seed))
            done()
        return Labelled(to_unit(self.dataset, torch.cat(parts)), target)

    def _targets(self, target: Tensor, copies: int, seed: int) -> Tensor:
        many = target.repeat(copies, *(1,) * (target.ndim - 1))
        part = self.dataset.conditions[self.name]
        if part["name"] != "mask":
            return many
        augment = augmentations.build(self.run.config["augment"])
        return warp_mask(
            augment, many, part["classes"], generators(seed, range(len(many)), "masks")
        )

    def _part(self, file: Path, target: Tensor, start: int, seed: int) -> Tensor:
        """Drawn pictures in natural units, from their file where it has them all: that of a study
        with fewer copies may end earlier.
        """
        kept = torch.from_numpy(read_array(file)).float() if file.is_file() else target[:0]
        if len(kept) == len(target):
            return kept
        ids = range(start, start + len(target))
        x = draw(
            self.run,
            self.plan,
            ids,
            seed,
            condition={self.name: target},
            guidance=self.guidance,
            batch=64,
        )
        content = io.BytesIO()
        np.save(content, x.numpy().astype(np.float32))
        write_bytes(file, content.getvalue(), overwrite=True)
        return x
