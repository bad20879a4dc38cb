"""The data set ``qm9``: small organic molecules with computed shapes and properties (Ramakrishnan
et al. 2014).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.packages import PACKAGES, cache_folder, member
from unfog.data.dataset import Dataset, choose, datasets, fingerprint
from unfog.errors import InputError
from unfog.files.numpy_files import keep_array, kept_array
from unfog.molecules.dataset import Molecules
from unfog.molecules.molecule import NUMBERS, Molecule
from unfog.progress import progress

PACKAGE = "qm9pack"
COUNT, ATOMS_IN_ALL = 130_831, 2_359_210
LARGEST = 29  # atoms
SPLITS = {"train": (0, 100_000), "test": (100_000, 113_083), "validation": (113_083, COUNT)}
# Properties by name: the column of the table, and what its unit is multiplied by.
HARTREE = 27.211386245988  # in eV
PROPERTIES = {
    "gap": ("HOMO_LUMO_gap_au", HARTREE),  # eV
    "homo": ("HOMO_au", HARTREE),
    "lumo": ("LUMO_au", HARTREE),
    "polarisability": ("Polarizability_bohr3", 1.0),  # bohr^3
    "dipole": ("Dipole_debye", 1.0),  # debye
    "heat-capacity": ("Heatcapacity_Cv_cal_mol_K", 1.0),  # cal / (mol K)
}


class QM9(Molecules):
    """QM9's molecules, of up to 29 atoms.

    The split is that of Anderson et al. (2019), which the literature on generation uses: the
    permutation of numpy's legacy generator of seed 0; 100 000 molecules to train on, a tenth to
    test, the rest to validate.

    Args:
        split: ``train``, ``test``, ``validation`` or ``all``.
        half: Of the split the first or second half, 1 or 2, or 0 for all of it: a judge of
            properties is trained on another half than what it judges.
        properties: Names, comma between them, that are the condition ``property``.

    Raises:
        InputError: There is no such split, half or property, or the package cannot be fetched.
    """

    def __init__(self, split: str = "train", half: int = 0, properties: str = "") -> None:
        choose("The split of qm9", split, (*SPLITS, "all"))
        if half not in (0, 1, 2):
            raise InputError(f"The half of qm9 is 1 or 2, or 0 for all of a split, not {half}.")
        self.numbers, self.places, self.starts = _atoms()
        order = np.random.RandomState(0).permutation(COUNT)
        self.ids = np.arange(COUNT)
        if split != "all":
            first, last = SPLITS[split]
            middle = (first + last) // 2
            self.ids = order[(first, first, middle)[half] : (last, middle, last)[half]]
        names = [name for name in properties.split(",") if name]
        table = property_table(names) if names else None
        scales, values = {}, None
        if table is not None:
            training = table[order[slice(*SPLITS["train"])]]
            pairs = zip(training.mean(0).tolist(), training.std(0).tolist(), strict=True)
            scales, values = dict(zip(names, pairs, strict=True)), table[self.ids]
        known = fingerprint(
            {"ids": self.ids}, {"sha256": PACKAGES[PACKAGE].sha256, "properties": names}
        )
        super().__init__("qm9", LARGEST, known, values, scales)

    def __len__(self) -> int:
        return len(self.ids)

    def molecule(self, number: int) -> Molecule:
        k = int(self.ids[self.index([number])[0]])
        part = slice(self.starts[k], self.starts[k + 1])
        places = self.places[part].astype(np.float64)
        return Molecule(self.numbers[part].astype(np.int64), places, f"qm9-{k}")

    @property
    def sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = np.diff(self.starts)[self.ids]
        return sizes


@datasets.register("qm9")
def qm9(split: str = "train", half: int = 0, properties: str = "") -> Dataset:
    """``QM9``."""
    return QM9(split, half, properties)


def property_table(names: Sequence[str]) -> NDArray[np.float64]:
    """Properties of all molecules in their units, (molecules, names)."""
    for name in names:
        if name not in PROPERTIES:
            raise InputError(f"qm9 has no property {name!r}; it has: {', '.join(PROPERTIES)}.")
    columns, factors = zip(*(PROPERTIES[name] for name in names), strict=True)
    path = cache_folder() / "qm9" / f"properties-{'-'.join(names)}.npy"
    kept = kept_array(path, (COUNT, len(names)), np.float64)
    if kept is None:
        kept = np.array([[float(row[c]) for c in columns] for row in _rows()]) * factors
        keep_array(path, kept)
    return np.array(kept)


def _atoms() -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """All atoms on end: their numbers, their places, and where each molecule begins, the end last;
    read once, and kept in the cache.
    """
    folder = cache_folder() / "qm9"
    shapes = {"numbers": (ATOMS_IN_ALL,), "places": (ATOMS_IN_ALL, 3), "starts": (COUNT + 1,)}
    types = {"numbers": np.int64, "places": np.float32, "starts": np.int64}
    kept = {
        name: kept_array(folder / f"{name}.npy", shape, types[name])
        for name, shape in shapes.items()
    }
    if any(array is None for array in kept.values()):
        kept = dict(zip(shapes, _read(), strict=True))
        for name, array in kept.items():
            assert array is not None
            keep_array(folder / f"{name}.npy", array)
    numbers, places, starts = (kept[name] for name in shapes)
    assert numbers is not None
    assert places is not None
    assert starts is not None
    return numbers, places, starts


def _read() -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """The atoms of the package's tables."""
    numbers, places, sizes = list[int](), list[float](), list[int]()
    with progress("reading qm9") as report:
        for row in _rows():
            symbols = json.loads(row["Elements"].replace("'", '"'))
            numbers += [NUMBERS[symbol] for symbol in symbols]
            # Numbers such as "1." are Python's and not JSON's.
            places += map(float, row["XYZ_Ang"].replace("[", "").replace("]", "").split(","))
            sizes.append(len(symbols))
            if len(sizes) % 5000 == 0:
                report(len(sizes), COUNT)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.array(numbers), np.array(places, dtype=np.float32).reshape(-1, 3), starts


def _rows() -> list[dict[str, str]]:
    """The rows of the package's three tables."""
    csv.field_size_limit(2**24)
    rows = list[dict[str, str]]()
    for part in (1, 2, 3):
        with member(PACKAGE, f"qm9_part{part}.csv").open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows
