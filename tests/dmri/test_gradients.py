"""Gradient tables: every layout gives the same world directions, and every fault is refused."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.rings import Ring, with_noise

from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.gradient_files import read_fsl, read_mrtrix, write_fsl, write_mrtrix
from unfog.dmri.gradients import GradientTable, as_table, fsl_to_world
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError

OBLIQUE = np.array([[-1.5, 0.3, 0, 20], [0.3, 1.5, 0.4, -30], [0.1, -0.4, 2.0, 5], [0, 0, 0, 1]])


def files(folder: Path, bvals: str, bvecs: str) -> tuple[Path, Path]:
    (folder / "a.bval").write_text(bvals)
    (folder / "a.bvec").write_text(bvecs)
    return folder / "a.bval", folder / "a.bvec"


@pytest.mark.parametrize(
    "affine",
    [np.eye(4), np.diag([-2.0, 2, 2, 1]), OBLIQUE],
    ids=["positive", "negative", "oblique"],
)
def test_written_and_read_again(
    gradients: GradientTable, tmp_path: Path, affine: np.ndarray
) -> None:
    write_fsl(gradients, tmp_path / "a.bval", tmp_path / "a.bvec", affine)
    write_mrtrix(gradients, tmp_path / "a.b")
    columns = np.loadtxt(tmp_path / "a.bvec").T
    np.savetxt(tmp_path / "columns.bvec", columns, delimiter=",")
    for table in (
        read_fsl(tmp_path / "a.bval", tmp_path / "a.bvec", affine, 70),
        read_fsl(tmp_path / "a.bval", tmp_path / "columns.bvec", affine, 70),
        read_mrtrix(tmp_path / "a.b", 70),
    ):
        np.testing.assert_allclose(table.directions, gradients.directions, atol=1e-8)
        np.testing.assert_allclose(table.bvals, gradients.bvals, rtol=1e-9)


def test_the_determinant_decides_the_sign_of_x() -> None:
    """By hand: FSL's x runs to the left where the voxels' runs to the right."""
    np.testing.assert_allclose(fsl_to_world(np.diag([2.0, 3, 4, 1])) @ [1, 0, 0], [-1, 0, 0])
    np.testing.assert_allclose(fsl_to_world(np.diag([-2.0, 3, 4, 1])) @ [1, 0, 0], [-1, 0, 0])
    np.testing.assert_allclose(fsl_to_world(np.diag([-2.0, 3, 4, 1])) @ [0, 1, 0], [0, 1, 0])
    turn = fsl_to_world(OBLIQUE)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


IDENTITY = np.array([[0, 1], [1, 1], [2, 1]])
ORIENTATIONS = [
    np.stack([order, signs], 1)
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def turned(
    fsl: np.ndarray, affine: np.ndarray, orientation: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """FSL's vectors and the affine of a volume whose voxel axes are permuted and flipped, from the
    convention and not from our code.
    """
    new_affine = affine @ nib.orientations.inv_ornt_aff(orientation, shape)
    along = fsl * [-1 if np.linalg.det(affine[:3, :3]) > 0 else 1, 1, 1]
    new = np.empty_like(along)
    for axis, (place, sign) in enumerate(orientation.astype(int)):
        new[:, place] = sign * along[:, axis]
    return new * [-1 if np.linalg.det(new_affine[:3, :3]) > 0 else 1, 1, 1], new_affine


def test_all_48_orientations(gradients: GradientTable, ring: Ring, tmp_path: Path) -> None:
    """Volume and table turned together: the table's directions and those of a tensor fit stay where
    they are in the world.
    """
    fsl = gradients.directions @ fsl_to_world(OBLIQUE)
    data, inside = with_noise(ring.signal[:, :, :2], 0.02), ring.fibrous[:, :, :2]
    np.savetxt(tmp_path / "a.bval", gradients.bvals[None])
    truth = fit_tensors(data[inside], gradients).direction
    for orientation in ORIENTATIONS:
        vectors, affine = turned(fsl, OBLIQUE, orientation, inside.shape)
        np.savetxt(tmp_path / "a.bvec", vectors.T)
        table = read_fsl(tmp_path / "a.bval", tmp_path / "a.bvec", affine)
        np.testing.assert_allclose(table.directions, gradients.directions, atol=1e-9)
        turned_inside = nib.apply_orientation(inside.astype(np.int8), orientation) > 0
        found = np.zeros((*turned_inside.shape, 3))
        found[turned_inside] = fit_tensors(
            nib.apply_orientation(data, orientation)[turned_inside], table
        ).direction
        again = nib.apply_orientation(found, nib.orientations.ornt_transform(IDENTITY, orientation))
        assert axis_angle(again[inside], truth).max() < 0.1


def test_shells() -> None:
    """b-values scatter within a shell; b0 is no shell."""
    bvals = np.array([0, 5, 990, 1000, 1010, 2000, 2990, 3010, 1005])
    table = GradientTable(bvals, np.tile([0.0, 0, 1], (9, 1)))
    shells = table.shells()
    assert [round(b) for b in shells] == [1001, 2000, 3000]
    assert [list(v) for v in shells.values()] == [[2, 3, 4, 8], [5], [6, 7]]
    assert list(np.flatnonzero(table.b0)) == [0, 1]
    assert not table.directions[:2].any()
    assert len(table[table.b0].shells()) == 0


def test_dipys_table(gradients: GradientTable) -> None:
    """DIPY keeps FSL's vectors as they are, so the affine turns them as it turns a file's."""
    from dipy.core.gradients import gradient_table

    fsl = gradients.directions @ fsl_to_world(OBLIQUE)
    theirs = gradient_table(gradients.bvals, bvecs=fsl)
    np.testing.assert_allclose(
        as_table(theirs, OBLIQUE).directions, gradients.directions, atol=1e-9
    )
    np.testing.assert_allclose(as_table(theirs).directions, fsl, atol=1e-9)
    assert as_table(gradients) is gradients
    with pytest.raises(InputError, match="DIPY"):
        as_table([1, 2, 3])


def test_a_b0_has_no_direction_whatever_is_written_there(tmp_path: Path) -> None:
    """Converters write zeros, unit vectors and, in DIPY's own small_64D, nan."""
    paths = files(tmp_path, "0 20 1000 1000", "nan 0 0 1\n0 1 0 0\n0 0 1 0\n")
    table = read_fsl(*paths, np.diag([-1.0, 1, 1, 1]), 4)
    assert not table.directions[:2].any()
    np.testing.assert_array_equal(table.directions[2:], [[0, 0, 1], [-1, 0, 0]])


FAULTS = [
    (
        "0 1000 1000 1000",
        "1 0 0\n0 1 0\n0 0 1\n0 0 1\n1 0 0\n",
        "a.bval has 4 b-values and a.bvec 5 vectors",
    ),
    ("0 1000 1000", "0 1 0\n0 0 1\n0 0 0\n", "3 x 3"),
    ("0 1000 1000", "0 0 0\n1 0 0\n0 1 0\n", "3 x 3"),
    ("0 1000 1000 1000", "0 .5 1 1\n0 0 0 0\n0 0 0 0\n", "Volume 1 .* of length 0.5"),
    ("0 1000 1000 1000", "0 nan 1 1\n0 0 0 0\n0 0 0 0\n", "Volume 1 .* non-finite"),
    ("0 1000 1000 1000", "0 inf 1 1\n0 0 0 0\n0 0 0 0\n", "Volume 1 .* non-finite"),
    ("0 1000 51 1000", "0 1 0 1\n0 0 0 0\n0 0 0 0\n", "Volume 2 .b = 51. .* zero"),
    ("0 -1000 1000 1000", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "Volume 1 has a b-value of -1000"),
    ("0 nan 1000 1000", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "b-value of nan"),
    ("0 inf 1000 1000", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "b-value of inf"),
    ("0 1000 1000 1000", "0 1 1 1\n0 0 0 0\n", "a.bvec holds 2 x 4"),
    ("0 1000\n1000 1000", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "one row or one column"),
    ("0 1000 1000 1000", "0 1 1 1\n0 0 0\n0 0 0 0\n", "a.bvec is empty or its lines differ"),
    ("", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "a.bval is empty"),
    ("0 1000 many 1000", "0 1 1 1\n0 0 0 0\n0 0 0 0\n", "a.bval is not a text file of numbers"),
]


@pytest.mark.parametrize(("bvals", "bvecs", "words"), FAULTS, ids=range(len(FAULTS)))
def test_faults_are_refused(tmp_path: Path, bvals: str, bvecs: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_fsl(*files(tmp_path, bvals, bvecs), np.eye(4))


def test_three_volumes_are_read_where_the_layout_is_said(tmp_path: Path) -> None:
    paths = files(tmp_path, "0 1000 1000", "0 1 0\n0 0 .6\n0 0 .8\n")
    affine = np.diag([-1.0, 1, 1, 1])
    np.testing.assert_allclose(
        read_fsl(*paths, affine, 3, "rows").directions, [[0, 0, 0], [-1, 0, 0], [0, 0.6, 0.8]]
    )
    with pytest.raises(InputError, match="of length"):
        read_fsl(*paths, affine, 3, "columns")
    with pytest.raises(InputError, match="one of auto, rows, columns"):
        read_fsl(*paths, affine, 3, "diagonal")


def test_counts_against_the_scan(tmp_path: Path, gradients: GradientTable) -> None:
    write_fsl(gradients, tmp_path / "a.bval", tmp_path / "a.bvec", np.eye(4))
    with pytest.raises(InputError, match="describes 70 volumes and the scan has 65"):
        read_fsl(tmp_path / "a.bval", tmp_path / "a.bvec", np.eye(4), 65)
    write_mrtrix(gradients, tmp_path / "a.b")
    with pytest.raises(InputError, match="describes 70 volumes and the scan has 65"):
        read_mrtrix(tmp_path / "a.b", 65)
    with pytest.raises(InputError, match="four: x y z b"):
        read_mrtrix(tmp_path / "a.bvec")
    with pytest.raises(InputError, match=r"nothing\.b cannot be read"):
        read_mrtrix(tmp_path / "nothing.b")
