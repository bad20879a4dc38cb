"""The data set ``molecule-files``: a user's own molecules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.data.dataset import Dataset, datasets, fingerprint
from unfog.errors import InputError
from unfog.molecules.dataset import Molecules
from unfog.molecules.files import read_molecules
from unfog.molecules.molecule import Molecule


class MoleculeFiles(Molecules):
    """The molecules of a file or a folder (``molecules.files``).

    Args:
        path: .sdf, .xyz, .pdb or .smi, or a folder of them.
        skip_broken: Whether records that cannot be read are left out, and said.

    Raises:
        InputError: A record cannot be read, or there is none.
    """

    def __init__(self, path: str, skip_broken: bool = False) -> None:
        self._molecules = read_molecules(Path(path), skip_broken)
        ends = np.cumsum([len(m) for m in self._molecules])
        content = {
            "numbers": np.concatenate([m.numbers for m in self._molecules]),
            "places": np.concatenate([m.positions for m in self._molecules]),
            "ends": ends,
        }
        largest = int(self.sizes.max())
        super().__init__("molecule-files", largest, fingerprint(content, {}))
        self.batch(range(len(self)))  # refuses what the state cannot hold before anything is done

    def __len__(self) -> int:
        return len(self._molecules)

    def molecule(self, number: int) -> Molecule:
        return self._molecules[int(self.index([number])[0])]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.array([len(m) for m in self._molecules])


@datasets.register("molecule-files")
def molecule_files(path: str = "", skip_broken: bool = False) -> Dataset:
    """``MoleculeFiles``; ``InputError`` where no path is given."""
    if not path:
        raise InputError("Give your own molecules by --data FILE or --data FOLDER.")
    return MoleculeFiles(path, skip_broken)
