"""How far drawn molecules are from rest: PoseBusters' checks, the strain by the force field MMFF94,
and what a relaxation by GFN2-xTB changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import MissingExtra
from unfog.molecules.files import rdkit, to_rdkit
from unfog.molecules.metrics import Share
from unfog.molecules.molecule import Molecule

HARTREE = 627.5094740631  # in kcal/mol
BOHR = 0.529177210903  # in Angstrom
CONVERGED = 1e-3  # Hartree/bohr, the largest force of a relaxed molecule
STEPS = 200  # at most, of a relaxation


@dataclass(frozen=True)
class Median:
    """The median of n numbers with its 95 % interval, by order statistics.

    Args:
        values: The numbers; none are a median of NaN.
    """

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median."""
        return float(np.median(self.values)) if self.values else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The interval's ends: the numbers whose ranks lie 1.96 deviations of a binomial from the
        middle, the extremes where there are few.
        """
        n, ordered = len(self.values), sorted(self.values)
        if not n:
            return float("nan"), float("nan")
        half = 1.96 * np.sqrt(n) / 2
        low, high = int(np.floor(n / 2 - half)), int(np.ceil(n / 2 + half))
        return ordered[max(low - 1, 0)], ordered[min(high, n - 1)]

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        ends = [round(end, 3) for end in self.interval]
        return {"median": round(self.value, 3), "n": len(self.values), "interval": ends}


def posebusters(molecules: Sequence[Molecule]) -> dict[str, dict[str, Any]]:
    """The shares of molecules that pass each of PoseBusters' checks of a molecule by itself
    (Buttenschoen et al. 2024), and all of them.

    Args:
        molecules: At least one. What RDKit takes for impossible passes none.

    Returns:
        By name of the check, and "all": value, n and interval.

    Raises:
        MissingExtra: PoseBusters is not installed.
    """
    try:
        from posebusters import PoseBusters
    except ImportError as error:
        raise MissingExtra("molecules", "posebusters") from error
    rdkit()  # silences its messages
    made = [found for m in molecules if (found := to_rdkit(m)) is not None]
    n = len(molecules)
    if not made:
        return {"all": _figures(0, n)}
    table = PoseBusters(config="mol").bust(made)
    # A check that does not apply, or whose force field has no parameters, is not failed.
    passed = {str(name): table[name].to_numpy() != False for name in table.columns}  # noqa: E712
    every = np.logical_and.reduce(list(passed.values()))
    counts = {name: int(column.sum()) for name, column in {**passed, "all": every}.items()}
    return {name: _figures(count, n) for name, count in counts.items()}


def _figures(count: int, n: int) -> dict[str, Any]:
    share = Share(count / n, n)
    ends = [round(end, 4) for end in share.interval]
    return {"value": round(share.value, 4), "n": n, "interval": ends}


def mmff_strain(molecules: Sequence[Molecule]) -> Median:
    """How much MMFF94's energy (Halgren 1996) falls when a molecule is relaxed, in kcal/mol; of
    those that RDKit takes and the force field has parameters for.
    """
    rdkit()
    from rdkit.Chem import AllChem

    found = list[float]()
    for molecule in molecules:
        made = to_rdkit(molecule)
        kinds = None if made is None else AllChem.MMFFGetMoleculeProperties(made)  # type: ignore[attr-defined]
        if kinds is None:
            continue
        field = AllChem.MMFFGetMoleculeForceField(made, kinds)  # type: ignore[attr-defined]
        before = field.CalcEnergy()
        for _ in range(10):
            if field.Minimize(maxIts=500) == 0:
                break
        found.append(float(before - field.CalcEnergy()))
    return Median(tuple(found))


@dataclass(frozen=True)
class Relaxation:
    """What relaxations changed.

    Args:
        energy: By how much each energy fell, in kcal/mol.
        rmsd: How far atoms moved, root mean square after the best turn, in Angstrom.
        failed: How many did not converge.
    """

    energy: Median
    rmsd: Median
    failed: int

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        energy, rmsd = self.energy.figures(), self.rmsd.figures()
        return {"energy_kcal_mol": energy, "rmsd_angstrom": rmsd, "failed": self.failed}


def gfn2_relaxation(molecules: Sequence[Molecule]) -> Relaxation:
    """Molecules relaxed by GFN2-xTB (Bannwarth et al. 2019), by tblite and L-BFGS.

    Raises:
        MissingExtra: tblite or SciPy is not installed.
    """
    try:
        import tblite.interface  # noqa: F401
    except ImportError as error:
        raise MissingExtra("xtb", "tblite") from error
    energies, distances, failed = list[float](), list[float](), 0
    for molecule in molecules:
        relaxed = _relaxed(molecule)
        if relaxed is None:
            failed += 1
            continue
        fell, places = relaxed
        energies.append(fell)
        distances.append(rmsd(molecule.positions, places))
    return Relaxation(Median(tuple(energies)), Median(tuple(distances)), failed)


def _relaxed(molecule: Molecule) -> tuple[float, NDArray[np.float64]] | None:
    """How far the energy fell in kcal/mol, and the places at rest; None where no electronic state
    was found or the forces stayed.
    """
    from scipy.optimize import minimize
    from tblite.interface import Calculator

    start, shape = molecule.positions / BOHR, molecule.positions.shape
    calculator = Calculator("GFN2-xTB", molecule.numbers, start)
    calculator.set("verbosity", 0)

    def energy_of(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        calculator.update(positions=flat.reshape(shape))
        found = calculator.singlepoint()
        return float(found.get("energy")), np.asarray(found.get("gradient")).ravel()

    try:
        before, _ = energy_of(start.ravel())
        options = {"gtol": CONVERGED, "maxiter": STEPS}
        end = minimize(energy_of, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    except RuntimeError:
        return None
    if np.abs(end.jac).max() > 10 * CONVERGED:
        return None
    return HARTREE * (before - float(end.fun)), BOHR * end.x.reshape(shape)


def rmsd(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The root mean square distance of points (n, 3) after the best turn (Kabsch 1976).

    >>> rmsd(np.eye(3), np.eye(3)[:, [1, 2, 0]] + 5) < 1e-12
    True
    """
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.sqrt(np.square(a @ turn - b).sum(1).mean()))
