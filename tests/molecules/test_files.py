"""Files of molecules, read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.molecules.bonds import bond_orders, stable_atoms
from unfog.molecules.files import read_molecules, to_rdkit, write_sdf, write_xyz
from unfog.molecules.molecule import Molecule

pytest.importorskip("rdkit")

# As QM9's own files are: a charge behind the places, exponents of their own, lines behind.
WATER = """3
gdb 3\t799.58812\t437.90386
O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706
H\t 0.0647664923\t 2.05721989*^-2\t 0.0015346341\t 0.294853
H\t 0.8717903737\t 1.3007924048\t 6.9356*^-4\t 0.294853
1671.4222\t3803.6305\t3907.698
O\tO
"""


def water() -> Molecule:
    places = [[0, 0, 0.12], [0, 0.76, -0.48], [0.05, -0.76, -0.48]]
    return Molecule(np.array([8, 1, 1]), np.array(places), "water")


def test_qm9s_own_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dsgdb9nsd_000003.xyz"
    path.write_text(WATER)
    (molecule,) = read_molecules(path)
    assert molecule.formula == "H2O"
    assert molecule.positions[2].tolist() == [0.8717903737, 1.3007924048, 0.00069356]
    assert stable_atoms(molecule).all()


def test_both_formats_give_back_what_was_written(tmp_path: Path) -> None:
    ethanol = read_smiles(tmp_path, "CCO")[0]
    for name, write in (("m.xyz", write_xyz), ("m.sdf", write_sdf)):
        write(tmp_path / name, [water(), ethanol])
        found = read_molecules(tmp_path / name)
        assert [m.formula for m in found] == ["H2O", "C2H6O"]
        for a, b in zip(found, [water(), ethanol], strict=True):
            np.testing.assert_allclose(a.positions, b.positions, atol=1e-4)


def read_smiles(folder: Path, text: str) -> list[Molecule]:
    path = folder / "given.smi"
    path.write_text(f"{text}\n")
    return read_molecules(path)


@pytest.mark.parametrize("smiles", ["CCO", "C#N", "C=O", "CC=O", "c1ccncc1", "FC(F)F"])
def test_bonds_by_distance_are_those_of_the_smiles(smiles: str, tmp_path: Path) -> None:
    from rdkit import Chem

    molecule = read_smiles(tmp_path, smiles)[0]
    found = to_rdkit(molecule)
    assert found is not None
    assert stable_atoms(molecule).all() or smiles == "c1ccncc1"
    skeleton = Chem.MolToSmiles(Chem.RemoveHs(found))
    if smiles != "c1ccncc1":  # rings of equal bonds are neither single nor double by length
        assert skeleton == Chem.MolToSmiles(Chem.MolFromSmiles(smiles))


def test_an_impossible_molecule_is_written_with_its_bonds(tmp_path: Path) -> None:
    # Five hydrogens around one carbon.
    places = np.array(
        [[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]], dtype=float
    )
    crowded = Molecule(np.array([6, 1, 1, 1, 1, 1]), 1.09 * places, "crowded")
    assert bond_orders(crowded)[0].sum() == 5
    assert to_rdkit(crowded) is None
    write_sdf(tmp_path / "m.sdf", [crowded])
    assert "  6  5  0" in (tmp_path / "m.sdf").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2\n\nH 0 0 0\n", "says 2 atoms and has 1"),
        ("1\n\nXx 0 0 0\n", "element Xx"),
        ("1\n\nH 0 zero 0\n", "is no atom"),
        ("1\n\nH 0 0\n", "is no atom"),
        ("hello\n", "does not begin"),
        ("4\n\nC 0 0 0\nH 1 0 0\nH 0 1 0\nH 1 1 0\n", "flat"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.xyz").write_text(text)
    with pytest.raises(InputError, match=said):
        read_molecules(tmp_path / "bad.xyz")


def test_broken_records_are_skipped_only_where_asked(tmp_path: Path, caplog) -> None:
    good = "1\nhydrogen\nH 0 0 0.5\n"
    (tmp_path / "some.xyz").write_text(good + "1\nbad\nXx 0 0 0\n" + good)
    with pytest.raises(InputError, match="Record 2 of some"):
        read_molecules(tmp_path / "some.xyz")
    assert len(read_molecules(tmp_path / "some.xyz", skip_broken=True)) == 2
    assert "1 records left out: 2" in caplog.text
    with pytest.raises(InputError, match="no file of molecules"):
        read_molecules(tmp_path / "none.xyz")


def test_a_folder_of_molecules_is_data_by_its_path(tmp_path: Path) -> None:
    import unfog.builtin  # registers the format and the data
    from unfog.data.dataset import kind_of, open_dataset
    from unfog.workflows.inspect import inspect_path

    assert unfog.builtin.molecules
    water = "3\nwater\nO 0 0 0.1\nH 0 0.8 -0.5\nH 0 -0.8 -0.5\n"
    (tmp_path / "a.xyz").write_text(2 * water)
    assert kind_of(tmp_path) == kind_of(tmp_path / "a.xyz") == "molecule-files"
    data = open_dataset(tmp_path)
    assert (len(data), data.shape, data.format) == (2, (9, 3), "molecules")
    told = inspect_path(tmp_path / "a.xyz")
    assert (told["molecules"], told["elements"]) == (2, ["H", "O"])
    # A broken record is refused, and left out only where that is asked for.
    (tmp_path / "b.xyz").write_text(water + "1\nbad\nXx 0 0 0\n")
    with pytest.raises(InputError, match=r"Record 2 of b\.xyz"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, skip_broken=True)) == 3


@pytest.mark.parametrize(("smiles", "said"), [("[CH3]", "radical"), ("C[NH3+]", r"charge of \+1")])
def test_charges_and_radicals_are_refused(smiles: str, said: str, tmp_path: Path) -> None:
    Chem = pytest.importorskip("rdkit.Chem")
    from rdkit.Chem import AllChem

    made = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(made, randomSeed=0)
    (tmp_path / "m.sdf").write_text(Chem.MolToMolBlock(made) + "$$$$\n")
    with pytest.raises(InputError, match=said):
        read_molecules(tmp_path / "m.sdf")
