"""Stability against a published row, and metrics against counts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from unfog.data.builtin.packages import is_fetched
from unfog.molecules.bonds import stability
from unfog.molecules.metrics import Share, bond_angles, bond_lengths, report, wasserstein
from unfog.molecules.molecule import Molecule
from unfog.molecules.qm9 import PACKAGE, QM9

SHARED = Path(os.environ.get("UNFOG_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))
GSCHNET = SHARED / "gschnet" / "gschnet_samples.npz"


@pytest.mark.skipif(not GSCHNET.is_file(), reason="G-SchNet's molecules are not at hand")
def test_the_published_row_of_gschnet() -> None:
    data = np.load(GSCHNET)
    ends = np.cumsum(data["sizes"])[:-1]
    rows = zip(
        np.split(data["atomic_numbers"], ends), np.split(data["positions"], ends), strict=True
    )
    found = stability([Molecule(n.astype(np.int64), p.astype(float)) for n, p in rows])
    assert (round(100 * found.atoms, 2), round(100 * found.molecules, 2)) == (95.71, 68.05)


@pytest.mark.skipif(not is_fetched(PACKAGE), reason="qm9 is not fetched: unfog data fetch qm9")
def test_qm9_itself() -> None:
    data = QM9("test")
    assert len(data) == 13083
    found = stability([data.molecule(k) for k in range(0, len(data), 5)])
    assert found.molecules == pytest.approx(0.952, abs=0.006)
    assert found.atoms > 0.99


def methane(length: float = 1.09) -> Molecule:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    return Molecule(np.array([6, 1, 1, 1, 1]), np.vstack([np.zeros(3), length * corners]))


def test_figures_are_counts() -> None:
    pytest.importorskip("rdkit")
    found = report([methane(), methane(1.1), methane(2.0)], known={"C"})
    assert found.validity.value == pytest.approx(2 / 3)
    assert found.uniqueness == Share(0.5, 2)
    assert found.novelty == Share(0.0, 1)
    assert found.molecule_stability.value == pytest.approx(2 / 3)
    assert found.atom_stability == Share(10 / 15, 15)
    low, high = found.validity.interval
    assert low < 2 / 3 < high
    assert found.figures()["validity"]["n"] == 3


def test_lengths_and_angles_are_those_of_the_shape() -> None:
    lengths = bond_lengths([methane(1.09)])
    assert list(lengths) == ["C-H"]
    np.testing.assert_allclose(lengths["C-H"], 1.09)
    np.testing.assert_allclose(bond_angles([methane()]), 109.4712, atol=1e-3)
    draw = np.random.default_rng(0).normal(size=20_000)
    assert wasserstein(draw, draw + 0.3) == pytest.approx(0.3)
