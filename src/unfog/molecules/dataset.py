"""Data sets of molecules."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.data.dataset import Dataset, Ids
from unfog.molecules.molecule import Molecule
from unfog.molecules.state import CHANNELS, CODEC, SPACE, states


class Molecules(Dataset):
    """Molecules as states (``molecules.state``), (9, atoms): places in Angstrom, types (H, C, N, O,
    F) as ones among zeros, atomic numbers; zeros behind a molecule's last atom, which ``mask``
    tells.

    Args:
        name: In configs and messages.
        largest: Atoms of the largest, to which all are padded.
        fingerprint: Of content and options.
        values: Properties, (molecules, properties).
        scales: Of each property its mean and deviation in the training data, by name.
    """

    def __init__(
        self,
        name: str,
        largest: int,
        fingerprint: str,
        values: NDArray[np.float64] | None = None,
        scales: dict[str, tuple[float, float]] | None = None,
    ) -> None:
        self.name, self.shape, self.fingerprint = name, (CHANNELS, largest), fingerprint
        self.codec, self.space, self.format = dict(CODEC), dict(SPACE), "molecules"
        self.scales, self.values, self.conditions = scales or {}, values, {}
        if self.scales:
            self.conditions = {"property": {"name": "vector", "size": len(self.scales)}}

    @abstractmethod
    def molecule(self, number: int) -> Molecule:
        """One molecule."""

    @property
    @abstractmethod
    def sizes(self) -> NDArray[np.int64]:
        """The number of atoms of each, (molecules,)."""

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        index = self.index(ids)
        batch = states([self.molecule(int(k)) for k in index], self.shape[1])
        if self.scales and self.values is not None:
            mean, std = np.array(list(self.scales.values())).T
            scaled = ((self.values[index] - mean) / std).astype(np.float32)
            batch["property"] = torch.from_numpy(scaled)
        return batch
