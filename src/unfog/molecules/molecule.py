"""A molecule: its elements and where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

# Elements that are known, by atomic number; their order is that of no model.
SYMBOLS = {
    1: "H",
    5: "B",
    6: "C",
    7: "N",
    8: "O",
    9: "F",
    13: "Al",
    14: "Si",
    15: "P",
    16: "S",
    17: "Cl",
    33: "As",
    35: "Br",
    53: "I",
}
NUMBERS = {symbol: number for number, symbol in SYMBOLS.items()}


@dataclass(frozen=True)
class Molecule:
    """Atoms in space.

    Args:
        numbers: Atomic numbers, (atoms,).
        positions: In Angstrom, (atoms, 3).
        name: What it is called, if anything.

    Raises:
        InputError: An element is unknown, or positions are missing, not finite or all in one
            plane of a drawing.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    name: str = ""

    def __post_init__(self) -> None:
        called = self.name or "A molecule"
        if self.positions.shape != (len(self.numbers), 3) or not len(self.numbers):
            raise InputError(
                f"{called} has {len(self.numbers)} atoms and positions "
                f"{self.positions.shape}; give each atom x, y and z."
            )
        if not np.isfinite(self.positions).all():
            raise InputError(f"{called} has positions that are not finite numbers; mend them.")
        for number in set(self.numbers.tolist()) - SYMBOLS.keys():
            raise InputError(
                f"{called} has an element of number {number}, which is not known; known are "
                f"{', '.join(NUMBERS)}."
            )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """The elements' symbols."""
        return [SYMBOLS[number] for number in self.numbers.tolist()]

    @property
    def formula(self) -> str:
        """Elements and their numbers, carbon and hydrogen first (Hill's order).

        >>> Molecule(np.array([8, 1, 1]), np.eye(3)).formula
        'H2O'
        """
        symbols = self.symbols
        counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
        first = [s for s in ("C", "H") if s in counts] if "C" in counts else []
        order = [*first, *(s for s in counts if s not in first)]
        return "".join(s + (str(counts[s]) if counts[s] > 1 else "") for s in order)
