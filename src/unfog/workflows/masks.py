"""Masks in files, for ``unfog sample --mask``: labels or probabilities of a run's classes, and the
masks that are written beside the samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import InputError
from unfog.files.formats import format_of, read_scan
from unfog.files.nifti import read_nifti
from unfog.files.numpy_files import read_npy, write_array
from unfog.files.orientation import upright
from unfog.files.scans import Format, Look
from unfog.files.slices import to_slices
from unfog.runs.run import Run

FREE = 255  # in a written mask: a point of no class that was asked for
SUM = 1e-3  # how far a sum of probabilities may be from 1


@dataclass(frozen=True)
class Masks:
    """What samples are to show where.

    Args:
        name: The run's condition.
        values: Labels (masks, 1, *space), or probabilities (masks, classes, *space).
        given: (classes,) bool, True for the classes that are asked for.
    """

    name: str
    values: Tensor
    given: Tensor

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(masks, *space): the class of each point, the most likely one; ``FREE`` where that was
        not asked for.
        """
        labels = self.values[:, 0] if self.values.shape[1] == 1 else self.values.argmax(1)
        asked = self.given[labels.long()]
        return torch.where(asked, labels.long(), FREE).numpy().astype(np.uint8)

    def condition(self, count: int) -> dict[str, Tensor]:
        """The condition of ``count`` samples of each mask, one mask after the other."""
        values = self.values.repeat_interleave(count, 0)
        return {self.name: values, f"{self.name}_mask": self.given.expand(len(values), -1)}

    def write(self, folder: Path, form: Format, look: Look, count: int) -> None:
        """Write the mask of each sample as mask-0000 and so on, and masks.npy (samples, *space)."""
        labels = self.labels.repeat(count, 0)
        form.write_labels(folder, labels, look)
        write_array(folder / "masks.npy", labels)


def read_masks(run: Run, path: Path, only: str | None = None) -> Masks:
    """The masks in a file, on the grid of a run's data.

    A picture or a volume holds labels, and so does a .npy of whole numbers (*space) or (masks,
    *space). A volume of four dimensions holds probabilities, its last axis the classes; and so
    does a .npy of floats with an axis of classes, the first or last of one mask or of each.

    Args:
        run: The model, with one condition that is a mask.
        path: The file.
        only: The classes that are asked for, such as "1,2"; all by default.

    Returns:
        The masks.

    Raises:
        InputError: The run knows no masks or other classes, the grid is another, or probabilities
            do not sum to 1.
    """
    sections = run.config.get("conditions") or {}
    name = next((key for key, part in sections.items() if part["name"] == "mask"), None)
    if name is None:
        raise InputError(f"The run {run.name} was trained without masks; leave --mask out.")
    classes, space = int(sections[name]["classes"]), tuple(run.shape[1:])
    values = _values(path, space, classes)
    if values.shape[2:] != space:
        raise InputError(
            f"{path.name} has {_grid(values.shape[2:])} points and {run.name} draws "
            f"{_grid(space)}; make the mask on that grid."
        )
    _check_values(path, run, values, classes)
    return Masks(name, torch.from_numpy(values), _chosen(run, only, classes))


def _grid(space: tuple[int, ...]) -> str:
    return " x ".join(map(str, space))


def _values(path: Path, space: tuple[int, ...], classes: int) -> NDArray[np.float32]:
    """The file as labels (masks, 1, *space) or probabilities (masks, classes, *space)."""
    dims, form = len(space), format_of(path).name
    if form == "npy":
        return _array(path, space, classes)
    if form == "nifti":
        volume = read_nifti(path)
        if volume.data.ndim == 4:
            maps = np.moveaxis(upright(volume), 3, 0)
            stacks = [to_slices(m) if dims == 2 else m[None, None] for m in maps]
            return np.ascontiguousarray(np.concatenate(stacks, 1), dtype=np.float32)
    return np.ascontiguousarray(read_scan(path, dims, 1).values, dtype=np.float32)


def _array(path: Path, space: tuple[int, ...], classes: int) -> NDArray[np.float32]:
    """The masks of a .npy."""
    data, dims = read_npy(path, path.name), len(space)
    probable = data.dtype.kind == "f" and data.ndim > dims
    if probable and data.shape[-1] == classes and data.shape[-dims:] != space:
        data = np.moveaxis(data, -1, -1 - dims)  # the classes ahead of space
    whole = probable and data.shape[-1 - dims] == classes
    lead = data.ndim - dims - whole
    if lead not in (0, 1):
        raise InputError(
            f"{path.name} has shape {data.shape}; give labels (n, {_grid(space)}), or "
            f"probabilities of {classes} classes with one axis more."
        )
    data = data if lead else data[None]
    return np.ascontiguousarray(data if whole else data[:, None], dtype=np.float32)


def _check_values(path: Path, run: Run, values: NDArray[np.float32], classes: int) -> None:
    """``InputError`` for labels that are none of the run's, and what are no probabilities."""
    if values.shape[1] == 1:
        wrong = sorted(set(np.unique(values).tolist()) - set(range(classes)))
        if wrong:
            raise InputError(
                f"{path.name} has the label {wrong[0]:g}, and {run.name} knows the classes 0 to "
                f"{classes - 1}; give whole numbers of these."
            )
        return
    if values.shape[1] != classes:
        raise InputError(
            f"{path.name} has {values.shape[1]} classes, and {run.name} knows {classes}; give a "
            "probability for each of these."
        )
    total = values.sum(1)
    if values.min() < 0 or np.abs(total - 1).max() > SUM:
        raise InputError(
            f"The probabilities in {path.name} sum to {total.min():.4g} to {total.max():.4g}; "
            "they must be positive and sum to 1 at every point."
        )


def _chosen(run: Run, only: str | None, classes: int) -> Tensor:
    """(classes,) bool: the classes that are asked for."""
    if only is None:
        return torch.ones(classes, dtype=torch.bool)
    numbers = [item.strip() for item in only.split(",")]
    known = [str(k) for k in range(classes)]
    for number in numbers:
        if number not in known:
            raise InputError(
                f"{run.name} knows the classes 0 to {classes - 1}, not {number!r}; give --only "
                "some of these with commas between them."
            )
    return torch.tensor([k in numbers for k in known])
