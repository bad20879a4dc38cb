"""Energies and checks of molecules: of molecules at rest, and of those that were pulled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")

from unfog.molecules.files import read_molecules
from unfog.molecules.molecule import Molecule
from unfog.molecules.strain import Median, gfn2_relaxation, mmff_strain, posebusters, rmsd


def methane(stretch: float = 1.0) -> Molecule:
    """Methane with its first bond longer or shorter."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    places = np.concatenate([np.zeros((1, 3)), 1.092 * corners])
    places[1] *= stretch
    return Molecule(np.array([6, 1, 1, 1, 1]), places, "methane")


def test_strain_is_nothing_at_rest_and_a_spring_when_pulled() -> None:
    rest, pulled = mmff_strain([methane()]), mmff_strain([methane(1.06)])
    assert rest.value < 0.05
    assert pulled.value == pytest.approx(1.46, rel=0.15)  # k / 2 dx^2, k = 4.766 mdyn/Angstrom
    assert mmff_strain([Molecule(np.array([6, 1]), np.eye(3)[:2], "half")] * 2).values == ()


def test_a_median_has_the_interval_of_its_order_statistics() -> None:
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        low, high = Median(tuple(draw.normal(size=40))).interval
        held += low <= 0 <= high
    assert 0.94 <= held / 400 <= 0.995
    assert np.isnan(Median(()).value)


def test_rmsd_is_that_after_the_best_turn_without_mirrors() -> None:
    draw = np.random.default_rng(0)
    a, (q, _) = draw.normal(size=(7, 3)), np.linalg.qr(draw.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    assert rmsd(a, a @ q + 3) < 1e-12
    assert rmsd(a, -a) > 0.1


@pytest.mark.slow
def test_posebusters_passes_ethanol_and_not_what_is_no_molecule(tmp_path: Path) -> None:
    pytest.importorskip("posebusters")
    pytest.importorskip("pandas")
    (tmp_path / "m.smi").write_text("CCO\n")
    (ethanol,) = read_molecules(tmp_path / "m.smi")
    pulled = ethanol.positions.copy()
    pulled[2] += 0.35 * (pulled[2] - pulled[1])  # oxygen, off from its carbon
    pulled[8] = pulled[2] + 0.97 * np.array([1.0, 0, 0])
    found = posebusters([ethanol, replace(ethanol, positions=pulled)])
    assert found["all"]["value"] == 0.5
    assert {"sanitization", "bond_lengths", "internal_energy"} <= found.keys()


def test_gfn2_lets_a_pulled_bond_go_back() -> None:
    pytest.importorskip("tblite")
    found = gfn2_relaxation([methane(), methane(1.1)])
    assert found.failed == 0
    assert found.energy.values[0] < 0.3 < 2 < found.energy.values[1] < 8
    assert found.rmsd.values[0] < 0.02 < found.rmsd.values[1]
