"""The format ``molecules``: what training, `unfog inspect` and samples make of such files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfog.errors import InputError
from unfog.files.formats import formats
from unfog.files.numpy_files import Array
from unfog.files.scans import Format, Look, Scan
from unfog.molecules.files import READERS, read_molecules, write_sdf
from unfog.molecules.state import molecules_of


class MolecularFile(Format):
    """SDF, XYZ, PDB and SMILES: molecules, written as SDF with bonds."""

    name, suffixes, dataset = "molecules", tuple(READERS), "molecule-files"
    keeps = "elements and places; bonds by distance"

    def read(self, path: Path, dims: int) -> Scan:
        raise InputError(
            f"{path.name} holds molecules, and this command takes pictures, volumes and arrays; "
            "give a fragment to unfog sample --keep."
        )

    def describe(self, path: Path) -> dict[str, Any]:
        found = read_molecules(path)
        sizes = [len(molecule) for molecule in found]
        return {
            "kind": "molecules",
            "molecules": len(found),
            "atoms": [min(sizes), int(np.median(sizes)), max(sizes)],
            "elements": sorted({symbol for molecule in found for symbol in molecule.symbols}),
        }

    def holds(self, shape: Sequence[int]) -> bool:
        return False  # a series has the same shape, so the data name this format

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        x = torch.from_numpy(samples)
        write_sdf(folder / "molecules.sdf", molecules_of(x, (x != 0).any(1, keepdim=True)))


# A NumPy file may hold anything, so it stays the last.
formats.insert(len(formats) - 1, MolecularFile())
