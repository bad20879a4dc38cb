"""What is said of drawn molecules: stability, validity, uniqueness, novelty, and how their bonds'
lengths and angles differ from the data's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.molecules.bonds import bond_orders, stability
from unfog.molecules.files import rdkit, to_rdkit
from unfog.molecules.molecule import Molecule


@dataclass(frozen=True)
class Share:
    """A share of n things with its 95 % interval (Wilson 1927).

    Args:
        value: From 0 to 1.
        n: Of how many.
    """

    value: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The interval's ends."""
        if self.n == 0:
            return 0.0, 1.0
        z2 = 1.96**2
        middle = (self.value + z2 / (2 * self.n)) / (1 + z2 / self.n)
        spread = self.value * (1 - self.value) / self.n + z2 / (4 * self.n**2)
        half = float(np.sqrt(z2 * spread)) / (1 + z2 / self.n)
        return middle - half, middle + half


@dataclass(frozen=True)
class Report:
    """Figures of drawn molecules, with n and intervals.

    Args:
        atom_stability: Atoms with as many bonds as their element has.
        molecule_stability: Molecules whose atoms all have.
        validity: Molecules of one piece that RDKit takes.
        uniqueness: Of the valid, those that differ by SMILES.
        novelty: Of the unique, those that are not known.
    """

    atom_stability: Share
    molecule_stability: Share
    validity: Share
    uniqueness: Share
    novelty: Share | None = None

    def figures(self) -> dict[str, dict[str, Any]]:
        """As plain data."""
        out = dict[str, dict[str, Any]]()
        for name, share in asdict(self).items():
            if share is not None:
                found = Share(**share)
                ends = [round(end, 4) for end in found.interval]
                out[name] = {"value": round(found.value, 4), "n": found.n, "interval": ends}
        return out


def smiles_of(molecule: Molecule) -> str | None:
    """The canonical SMILES by bonds by distance, without hydrogens; None where RDKit takes the
    bonds for impossible, or the molecule falls into pieces.
    """
    found, chem = to_rdkit(molecule), rdkit()
    if found is None or len(chem.GetMolFrags(found)) > 1:
        return None
    return str(chem.MolToSmiles(chem.RemoveHs(found)))


def report(molecules: Sequence[Molecule], known: set[str] | None = None) -> Report:
    """Figures of drawn molecules.

    Args:
        molecules: At least one.
        known: The SMILES of the training data, for novelty.

    Returns:
        The figures.
    """
    stable, n = stability(list(molecules)), len(molecules)
    texts = [smiles_of(molecule) for molecule in molecules]
    valid = [text for text in texts if text is not None]
    different = set(valid)
    atoms = sum(len(molecule) for molecule in molecules)
    new = None
    if known is not None:
        new = Share(len(different - known) / max(len(different), 1), len(different))
    return Report(
        Share(stable.atoms, atoms),
        Share(stable.molecules, n),
        Share(len(valid) / n, n),
        Share(len(different) / max(len(valid), 1), len(valid)),
        new,
    )


def bond_lengths(molecules: Sequence[Molecule]) -> dict[str, NDArray[np.float64]]:
    """Lengths in Angstrom by kind of bond, such as "C-C", "C=O"."""
    marks, found = {1: "-", 2: "=", 3: "#"}, dict[str, list[float]]()
    for molecule in molecules:
        orders, symbols = bond_orders(molecule), molecule.symbols
        for a, b in zip(*np.nonzero(np.triu(orders)), strict=True):
            one, two = sorted((symbols[a], symbols[b]))
            length = np.linalg.norm(molecule.positions[a] - molecule.positions[b])
            found.setdefault(f"{one}{marks[int(orders[a, b])]}{two}", []).append(float(length))
    return {kind: np.array(values) for kind, values in found.items()}


def bond_angles(molecules: Sequence[Molecule]) -> NDArray[np.float64]:
    """All angles between two bonds of an atom other than hydrogen, in degrees."""
    angles = []
    for molecule in molecules:
        bonded = bond_orders(molecule) > 0
        for atom in np.flatnonzero(molecule.numbers > 1):
            lines = molecule.positions[bonded[atom]] - molecule.positions[atom]
            lines = lines / np.linalg.norm(lines, axis=1, keepdims=True)
            upper = np.triu_indices(len(lines), 1)
            angles.append(np.degrees(np.arccos(np.clip((lines @ lines.T)[upper], -1, 1))))
    return np.concatenate(angles) if angles else np.zeros(0)


def wasserstein(a: NDArray[np.float64], b: NDArray[np.float64], points: int = 1000) -> float:
    """The first Wasserstein distance of two samples of numbers, by their quantiles."""
    levels = (np.arange(points) + 0.5) / points
    return float(np.abs(np.quantile(a, levels) - np.quantile(b, levels)).mean())
