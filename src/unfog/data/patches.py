"""Cubes cut out of larger volumes: at places of a grid, and in training at random ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from unfog.core.tiles import places
from unfog.data.dataset import Config, Dataset, Ids, fingerprint
from unfog.errors import InputError

Array = NDArray[np.float32]
Corner = tuple[int, ...]
VOXELS_DIFFER = 0.1  # relative, between volumes of one data set


class Patches(Dataset):
    """Cubes (1, patch, patch, patch) of volumes, which may differ in shape.

    Sample i is a cube of a half-overlapping grid over the volumes. Training (``draw``) moves its
    corner, uniformly, by up to a quarter of the patch along each axis within the volume, so that
    all places occur.

    Args:
        name: The data set's name.
        volumes: The volumes (X, Y, Z) by name, in natural units.
        patch: The side of the cubes, in voxels.
        codec: Registry config of the map to the model's scale.
        voxel: The sides of a voxel in mm, (3,).
        least: The least share of a cube's voxels above ``floor``; cubes with less are left out.
        floor: In natural units.
        options: What besides the content enters the fingerprint.
        captions: What each volume shows, in words; its cubes show the same.

    Raises:
        InputError: A volume is smaller than a cube, or no cube is left.
    """

    def __init__(
        self,
        name: str,
        volumes: Mapping[str, Array],
        patch: int,
        codec: Config,
        voxel: Sequence[float],
        *,
        least: float = 0.0,
        floor: float = 0.1,
        options: Mapping[str, Any] | None = None,
        captions: Sequence[str] | None = None,
    ) -> None:
        if patch < 2:
            raise InputError(f"The side of a patch is 2 voxels or more, not {patch}.")
        for key, volume in volumes.items():
            if min(volume.shape) < patch:
                raise InputError(
                    f"{key} measures {' x '.join(map(str, volume.shape))} voxels and a patch "
                    f"{patch} along each axis; set data.patch to {min(volume.shape)} or less."
                )
        self.name, self.codec, self.conditions = name, dict(codec), {}
        self.voxel = tuple(float(side) for side in voxel)
        self.shape, self.patch = (1, patch, patch, patch), patch
        self._volumes = list(volumes.values())
        self._corners = [
            (k, tuple(part.start for part in place))
            for k, volume in enumerate(self._volumes)
            for place in places(volume.shape, patch, patch // 2)
            if float((volume[place] > floor).mean()) >= least
        ]
        if not self._corners:
            raise InputError(f"No patch of {name} reaches least={least}; lower it.")
        if captions is not None:
            self.captions = tuple(captions[number] for number, _ in self._corners)
            options = {**(options or {}), "captions": self.captions}
        known = {"name": name, "patch": patch, "least": least, **(options or {})}
        self.fingerprint = fingerprint(dict(zip(volumes, self._volumes, strict=True)), known)

    def __len__(self) -> int:
        return len(self._corners)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return self._cut([self._corners[i] for i in self.index(ids)])

    def draw(self, ids: Ids, generators: Sequence[Generator]) -> dict[str, Tensor]:
        corners = []
        for i, randomness in zip(self.index(ids), generators, strict=True):
            number, corner = self._corners[i]
            corners.append((number, self._moved(number, corner, randomness)))
        return self._cut(corners)

    def _moved(self, number: int, corner: Corner, randomness: Generator) -> Corner:
        """A corner moved at random, uniformly over what the volume leaves of the range."""
        reach, moved = math.ceil(self.patch / 4), []
        for at, n in zip(corner, self._volumes[number].shape, strict=True):
            low, high = max(0, at - reach), min(n - self.patch, at + reach)
            moved.append(int(torch.randint(low, high + 1, (), generator=randomness)))
        return tuple(moved)

    def _cut(self, corners: Sequence[tuple[int, Corner]]) -> dict[str, Tensor]:
        cubes = [
            self._volumes[number][tuple(slice(a, a + self.patch) for a in corner)]
            for number, corner in corners
        ]
        return {"x": torch.from_numpy(np.stack(cubes).astype(np.float32))[:, None]}


def common_voxel(zooms: Mapping[str, Sequence[float]]) -> tuple[float, ...] | None:
    """The voxel size in mm that volumes share, (3,), by their names; None where they differ by more
    than a tenth.
    """
    sizes = np.array(list(zooms.values()), dtype=np.float64)
    middle = np.median(sizes, axis=0)
    if bool((np.abs(sizes / middle - 1) > VOXELS_DIFFER).any()):
        return None
    return tuple(round(float(side), 6) for side in middle)
