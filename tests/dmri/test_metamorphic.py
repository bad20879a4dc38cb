"""What must hold of a denoised scan whatever its truth: end to end, from files to files, by the
command and the shipped prior.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.rings import with_noise
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.dmri import harmonics
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.gradient_files import read_fsl, write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import shells
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.phantom import make_phantom, real_gradients
from unfog.dmri.tensor import fit_tensors
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.runs.folder import priors

pytestmark = pytest.mark.skipif("dmri" not in priors(), reason="no weights in this package")

Array = NDArray[np.float32]
SHAPE, SNR = (20, 16, 12), 15.0
ANGLE = np.radians(25)
TURN = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)  # the slab lies askew
AFFINE = np.block(
    [[2.0 * TURN, np.array([[10.0], [-20], [5]])], [np.zeros((1, 3)), np.ones((1, 1))]]
)
SYMMETRIES = harmonics.octahedral()


class Scan(NamedTuple):
    """A scan and its truth on one grid, with the table in world axes."""

    data: Array
    table: GradientTable
    affine: NDArray[np.float64]

    def directions(self, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return fit_tensors(self.data[where], self.table).direction


@pytest.fixture(scope="module")
def truth() -> Scan:
    table = real_gradients()[:40]
    phantom = make_phantom(table, 0, mni_anatomy(SHAPE))
    return Scan((1000 / phantom.b0 * phantom.signal).astype(np.float32), table, AFFINE)


@pytest.fixture(scope="module")
def scan(truth: Scan) -> Scan:
    return truth._replace(data=with_noise(truth.data, 1000 / SNR))


@pytest.fixture(scope="module")
def white(truth: Scan) -> NDArray[np.bool_]:
    """Where a direction means something."""
    return (
        fit_tensors(truth.data.reshape(-1, len(truth.table)), truth.table).fa.reshape(SHAPE) > 0.25
    )


@pytest.fixture(scope="module")
def answer(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return denoised(scan, tmp_path_factory.mktemp("straight"))


def denoised(scan: Scan, folder: Path, options: str = "") -> Scan:
    """The scan after ``unfog dmri denoise``, by files."""
    write_nifti(folder / "dwi.nii.gz", scan.data, new_volume(scan.data, scan.affine))
    write_fsl(scan.table, folder / "dwi.bval", folder / "dwi.bvec", scan.affine)
    line = (
        f"dmri denoise {folder / 'dwi.nii.gz'} --bvals {folder / 'dwi.bval'} --bvecs "
        f"{folder / 'dwi.bvec'} --out {folder / 'new'}"
    )
    result = CliRunner().invoke(app, f"{line} {options}".split())
    assert result.exit_code == 0, result.stderr
    found = read_nifti(folder / "new/dwi_denoised.nii.gz")
    table = read_fsl(
        folder / "new/dwi_denoised.bval",
        folder / "new/dwi_denoised.bvec",
        found.affine,
        found.data.shape[3],
    )
    return Scan(found.data, table, found.affine)


def moved(data: Array, turn: torch.Tensor) -> Array:
    """(X, Y, Z, volumes) with its voxels moved by a symmetry of the cube."""
    return (
        harmonics.turn_volume(torch.from_numpy(data).movedim(3, 0), turn)
        .movedim(0, 3)
        .contiguous()
        .numpy()
    )


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def stored(scan: Scan, turn: torch.Tensor) -> Scan:
    """The same scan of the same head, its voxels stored in another order."""
    half = (np.array(scan.data.shape[:3]) - 1) / 2
    back = turn.numpy().T
    affine = scan.affine.copy()
    affine[:3, :3] = scan.affine[:3, :3] @ back
    affine[:3, 3] += scan.affine[:3, :3] @ (half - back @ np.abs(turn.numpy()) @ half)
    return Scan(moved(scan.data, turn), scan.table, affine)


def some(k: int) -> object:
    return pytest.param(k, marks=[] if k in (5, 18, 43) else pytest.mark.slow)


@pytest.mark.parametrize("k", [some(k) for k in range(48)])
def test_directions_in_the_world_are_those_of_any_orientation(
    k: int, scan: Scan, answer: Scan, white: Array, tmp_path: Path
) -> None:
    turn = SYMMETRIES[k]
    found = denoised(stored(scan, turn), tmp_path)
    back = Scan(moved(found.data, turn.T), found.table, scan.affine)
    assert axis_angle(back.directions(white), answer.directions(white)).max() < 0.1
    assert np.abs(back.data - answer.data).max() < 1.0  # of 1000


def test_permuting_volumes_permutes_the_answer(scan: Scan, answer: Scan, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(scan.table))
    found = denoised(Scan(scan.data[..., order], scan.table[order], scan.affine), tmp_path)
    assert np.abs(found.data - answer.data[..., order]).max() < 1.0


@pytest.mark.parametrize("scale", [0.037, pytest.param(53.0, marks=pytest.mark.slow)])
def test_scaling_intensities_scales_the_answer(
    scale: float, scan: Scan, answer: Scan, tmp_path: Path
) -> None:
    found = denoised(scan._replace(data=np.float32(scale) * scan.data), tmp_path)
    assert np.abs(found.data / scale - answer.data).max() < 1.0


@pytest.mark.parametrize("k", [some(k) for k in range(48)])
def test_rotating_directions_and_data_rotates_the_answer(
    k: int, scan: Scan, answer: Scan, truth: Scan, white: Array, tmp_path: Path
) -> None:
    """Another head, which lies another way in the same grid: what differs is a fraction of what is
    wrong.
    """
    turn = SYMMETRIES[k]
    world = TURN @ turn.numpy() @ TURN.T
    table = GradientTable(scan.table.bvals, scan.table.directions @ world.T)
    found = denoised(Scan(moved(scan.data, turn), table, scan.affine), tmp_path)
    back = Scan(moved(found.data, turn.T), scan.table, scan.affine)
    angle = axis_angle(back.directions(white), answer.directions(white)).mean()
    error = axis_angle(answer.directions(white), truth.directions(white)).mean()
    assert rms(back.data - answer.data) < rms(answer.data - truth.data) / 3
    assert angle < error / 3


def test_denoising_twice_changes_little_the_second_time(
    scan: Scan, answer: Scan, tmp_path: Path
) -> None:
    again = denoised(answer, tmp_path)
    assert rms(again.data - answer.data) < 0.1 * rms(answer.data - scan.data)


@pytest.mark.parametrize("level", [1000.0, 0.0], ids=["around a constant", "alone"])
def test_pure_noise_yields_no_structure(level: float, tmp_path: Path) -> None:
    """What is left in the anisotropic harmonics is a fraction of the noise; about a constant, FA
    falls with it.
    """
    table, sigma = real_gradients(b0=3)[:45], 50.0
    dimmed = level * np.where(table.b0, 1.0, np.exp(-0.8))
    noisy = Scan(
        with_noise(np.broadcast_to(dimmed, (18, 20, 16, len(table))).copy(), sigma), table, AFFINE
    )
    found, shell = denoised(noisy, tmp_path), shells(table)[0]
    left, before = (
        rms(shell.encode(torch.from_numpy(y - dimmed).float())[2:].numpy())
        for y in (found.data, noisy.data)
    )
    assert left < 0.15 * before
    fa = [
        float(fit_tensors(y.reshape(-1, len(table)), table).fa.mean())
        for y in (found.data, noisy.data)
    ]
    assert level == 0 or fa[0] < 0.15 * fa[1]
