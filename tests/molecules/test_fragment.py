"""Fragments that molecules keep: the operator, and what is drawn about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unfog.core.space import spaces
from unfog.errors import InputError
from unfog.molecules.fragment import Fragment, fragment_of
from unfog.molecules.molecule import Molecule
from unfog.molecules.sizes import masks_of
from unfog.molecules.state import SPACE


def carbonyl() -> Molecule:
    return Molecule(np.array([6, 8]), np.array([[1.0, 2, 3], [1, 2, 4.2]]), "carbonyl")


def test_the_operator_is_an_orthogonal_projection_within_the_space() -> None:
    operator, space = Fragment(3, 8), spaces.build(SPACE).within(masks_of([6, 8], 8))
    draw = torch.Generator().manual_seed(0)
    x = space.project(torch.randn(2, 9, 8, generator=draw, dtype=torch.float64))
    y = operator(space.project(torch.randn(2, 9, 8, generator=draw, dtype=torch.float64)))
    left = (operator(x) * y).sum()
    assert float(left - (x * operator.adjoint(y)).sum()) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(operator(operator.pseudo_inverse(y)), y, atol=1e-14, rtol=0)
    torch.testing.assert_close(space.project(operator.adjoint(y)), operator.adjoint(y))
    # Tikhonov's solve, against conjugate gradients.
    weight = torch.tensor([0.3, 2.0], dtype=torch.float64)
    general = super(Fragment, operator).tikhonov(y, weight)
    torch.testing.assert_close(operator.tikhonov(y, weight), general, atol=1e-8, rtol=0)


def test_where_the_fragment_lies_does_not_matter() -> None:
    _, y = fragment_of(carbonyl(), 8)
    moved = Molecule(carbonyl().numbers, carbonyl().positions + 5)
    torch.testing.assert_close(fragment_of(moved, 8)[1], y, atol=1e-6, rtol=0)
    assert (y[0, :3, 0] - y[0, :3, 1]).norm() == pytest.approx(1.2, abs=1e-6)


def test_what_no_molecule_can_keep() -> None:
    with pytest.raises(InputError, match="2 atoms, and the model draws molecules of up to 2"):
        fragment_of(carbonyl(), 2)
    near = Molecule(np.array([6, 8]), np.array([[0, 0, 0.1], [0, 0, 0.2]]), "near")
    with pytest.raises(InputError, match=r"0\.10 Angstrom apart"):
        fragment_of(near, 8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few steps on molecules of a file: it draws no chemistry, and keeps fragments."""
    import unfog.builtin  # registers the data and the recipe
    from unfog.data.dataset import open_dataset
    from unfog.molecules.files import write_xyz
    from unfog.runs.train import train

    assert unfog.builtin.molecules

    folder, draw = tmp_path_factory.mktemp("molecules"), np.random.default_rng(0)
    some = [
        Molecule(np.array([6, 8, *[1] * n]), draw.normal(size=(2 + n, 3))) for n in (3, 4, 4, 5)
    ]
    write_xyz(folder / "some.xyz", some)
    data = open_dataset({"name": "molecule-files", "path": str(folder / "some.xyz")})
    settings = {"network.width": 16, "network.layers": 2, "training.batch": 4}
    train("molecules", data, folder / "run", steps=3, settings=settings)
    return folder / "run"


def test_molecules_keep_their_fragment(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from unfog.molecules.files import read_molecules, write_xyz
    from unfog.molecules.workflows.sample import sample_molecules

    write_xyz(tmp_path / "keep.xyz", [carbonyl()])
    told = {"atoms": 6, "steps": 4}
    said = sample_molecules(run, 3, tmp_path / "kept", keep=tmp_path / "keep.xyz", **told)
    assert said["keep"] == "keep.xyz"
    for molecule in read_molecules(tmp_path / "kept" / "molecules.xyz"):
        assert molecule.symbols[:2] == ["C", "O"]
        gap = molecule.positions[1] - molecule.positions[0]
        np.testing.assert_allclose(gap, [0, 0, 1.2], atol=1e-4)
    # Without it the first two atoms are others.
    sample_molecules(run, 3, tmp_path / "free", **told)
    free = read_molecules(tmp_path / "free" / "molecules.xyz")
    assert all(np.abs(m.positions[1] - m.positions[0] - [0, 0, 1.2]).max() > 1e-2 for m in free)
    with pytest.raises(InputError, match="2 atoms and a molecule 2"):
        sample_molecules(run, 1, tmp_path / "x", keep=tmp_path / "keep.xyz", atoms=2)
    with pytest.raises(InputError, match="without properties"):
        sample_molecules(run, 1, tmp_path / "x", asked="gap=3")
    assert not (tmp_path / "x").exists()


def test_sample_0_is_the_same_in_any_batch(run: Path) -> None:
    from unfog.runs.run import Run

    model = Run.open(run)
    masks = masks_of([5, 7, 6], 7)
    many = model.sample(3, condition={"mask": masks}, steps=4)
    one = model.sample(1, condition={"mask": masks[:1]}, steps=4)
    torch.testing.assert_close(many[:1], one, atol=1e-5, rtol=0)


def test_a_run_that_is_told_of_no_fragment_keeps_one_by_repaint(run: Path) -> None:
    from types import SimpleNamespace
    from typing import cast

    from unfog.molecules.keep import keeping, told_of
    from unfog.posterior.repaint import RePaint
    from unfog.runs.run import Run
    from unfog.sampling import samplers

    operator, y = fragment_of(carbonyl(), 7)
    plain = cast(
        Run, SimpleNamespace(denoiser=SimpleNamespace(conditioner=SimpleNamespace(parts={})))
    )
    sampler = samplers.build("heun")
    assert isinstance(keeping(plain, sampler, operator, y), RePaint)
    assert told_of(plain, operator, 2) == {}
    told = Run.open(run)
    assert not isinstance(keeping(told, sampler, operator, y), RePaint)
    assert told_of(told, operator, 2)["fragment"].sum(2).tolist() == [[2], [2]]
