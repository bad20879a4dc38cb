"""Bonds by distance, and the stability that they say (Hoogeboom et al. 2022, arXiv:2203.17003,
appendix; its tables and margins).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.molecules.molecule import NUMBERS, Molecule

# Typical lengths in picometres, by the pair of elements.
_SINGLE = """
H-H 74, H-C 109, H-N 101, H-O 96, H-F 92, H-B 119, H-Si 148, H-P 144, H-As 152, H-S 134, H-Cl 127,
H-Br 141, H-I 161, C-C 154, C-N 147, C-O 143, C-F 135, C-Si 185, C-P 184, C-S 182, C-Cl 177,
C-Br 194, C-I 214, N-N 145, N-O 140, N-F 136, N-Cl 175, N-Br 214, N-S 168, N-I 222, N-P 177,
O-O 148, O-F 142, O-Br 172, O-S 151, O-P 163, O-Si 163, O-Cl 164, O-I 194, F-F 142, F-S 158,
F-Si 160, F-Cl 166, F-Br 178, F-P 156, F-I 187, B-Cl 175, Si-Si 233, Si-S 200, Si-Cl 202,
Si-Br 215, Si-I 243, Cl-Cl 199, Cl-P 203, Cl-S 207, Cl-Br 214, S-S 204, S-Br 225, S-P 210,
S-I 234, Br-Br 228, Br-P 222, P-P 221, I-I 266
"""
_DOUBLE = "C-C 134, C-N 129, C-O 120, C-S 160, N-N 125, N-O 121, O-O 121, O-P 150, P-S 186"
_TRIPLE = "C-C 120, C-N 116, C-O 113, N-N 110"
MARGINS = (10.0, 5.0, 3.0)  # of single, double and triple bonds, in picometres
# Bonds that a neutral atom of the element has.
VALENCES = {
    "H": (1,),
    "B": (3,),
    "C": (4,),
    "N": (3,),
    "O": (2,),
    "F": (1,),
    "Al": (3,),
    "Si": (4,),
    "P": (3, 5),
    "S": (4,),
    "Cl": (1,),
    "As": (3,),
    "Br": (1,),
    "I": (1,),
}
_SIZE = max(NUMBERS.values()) + 1


def _table(text: str, margin: float) -> NDArray[np.float64]:
    """Distances in Angstrom below which two elements are bonded, (elements, elements); 0 where they
    never are.
    """
    reach = np.zeros((_SIZE, _SIZE))
    for entry in text.replace("\n", " ").split(","):
        pair, length = entry.split()
        a, b = (NUMBERS[symbol] for symbol in pair.split("-"))
        reach[a, b] = reach[b, a] = (float(length) + margin) / 100
    return reach


REACH = tuple(
    _table(text, margin) for text, margin in zip((_SINGLE, _DOUBLE, _TRIPLE), MARGINS, strict=True)
)


def bond_orders(molecule: Molecule) -> NDArray[np.int64]:
    """The order of the bond of each two atoms, (atoms, atoms), 0 where they have none: a bond is
    single, double or triple where the atoms are nearer than the typical length and a margin, and
    double and triple ones are also of the order below.
    """
    x, kinds = molecule.positions, molecule.numbers
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    orders = np.zeros(distance.shape, dtype=np.int64)
    bonded = np.ones(distance.shape, dtype=bool)
    for reach in REACH:
        bonded &= distance < reach[kinds[:, None], kinds]
        orders += bonded
    return orders


@dataclass(frozen=True)
class Stability:
    """Shares of what is stable.

    Args:
        atoms: Of atoms that have as many bonds as their element has.
        molecules: Of molecules whose atoms all have.
        n: How many molecules.
    """

    atoms: float
    molecules: float
    n: int


def stable_atoms(molecule: Molecule) -> NDArray[np.bool_]:
    """Whether each atom has as many bonds as its element has, (atoms,)."""
    bonds = bond_orders(molecule).sum(1)
    pairs = zip(molecule.symbols, bonds.tolist(), strict=True)
    return np.array([count in VALENCES[symbol] for symbol, count in pairs])


def stability(molecules: list[Molecule]) -> Stability:
    """Atom and molecule stability of molecules, as the literature prints them for QM9."""
    stable = [stable_atoms(molecule) for molecule in molecules]
    atoms = np.concatenate(stable).mean() if stable else np.nan
    whole = np.mean([one.all() for one in stable]) if stable else np.nan
    return Stability(float(atoms), float(whole), len(molecules))
