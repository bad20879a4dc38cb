"""Two geometries in one series: told from the data, never of a scan that has one, and what FSL's
files say of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri.denoising.blind import refine, refine_by_group
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.geometries import Geometries, two_geometries
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.faults import drifting, moved, reversed_encoding
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom, real_gradients
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.runs.run import Run

TABLE = real_gradients()[:38]
COUNT, SHAPE = len(TABLE), (16, 16, 8)
AFFINE = np.diag([2.0, 2, 2, 1])
# Of both kinds: three at b = 0 and every other weighted one.
HALF = np.r_[np.flatnonzero(TABLE.b0)[::2], np.flatnonzero(~TABLE.b0)[::2]]


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(TABLE, seed, mni_anatomy(SHAPE)) for seed in range(3)]


def noisy(clean: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    truth = torch.from_numpy(clean).float().movedim(3, 0)
    return add_magnitude_noise(truth, sigma, generator(seed, "noise")).movedim(0, 3).numpy()


def found(clean: np.ndarray, phantom: Phantom, snr: float, seed: int) -> Geometries:
    sigma = phantom.b0 / snr
    level = np.full(phantom.mask.shape, sigma, np.float32)
    told = two_geometries(noisy(clean, sigma, seed), TABLE, phantom.mask, level)
    assert told is not None
    return told


def still(clean: np.ndarray, seed: int) -> np.ndarray:
    return clean


def losing(clean: np.ndarray, seed: int) -> np.ndarray:
    return drifting(clean, 0.05)


def restless(clean: np.ndarray, seed: int) -> np.ndarray:
    """Each volume somewhere within a voxel."""
    return moved(clean, np.random.default_rng(seed).uniform(-1, 1, (COUNT, 3)))


def moved_once(clean: np.ndarray, seed: int) -> np.ndarray:
    """By a voxel along the phase encoding, for the second half of the scan."""
    return moved(clean, np.outer(np.arange(COUNT) >= COUNT // 2, [0, 1, 0]).astype(float))


@pytest.mark.parametrize("snr", [10, 20, 30])
@pytest.mark.parametrize("fault", [still, losing, restless, moved_once])
def test_a_scan_of_one_geometry_has_no_groups(phantoms, fault, snr: int) -> None:
    for seed, phantom in enumerate(phantoms):
        assert not found(fault(phantom.signal, seed), phantom, snr, seed).clear


@pytest.mark.parametrize("snr", [10, 20, 30])
@pytest.mark.parametrize("size", [1.0, 2.0])
@pytest.mark.parametrize("turned", [HALF, np.arange(COUNT // 2)], ids=["every other", "the first"])
def test_reversed_encoding_is_told(phantoms, turned, size: float, snr: int) -> None:
    """Which volumes are of one group, up to two of them."""
    truth = np.isin(np.arange(COUNT), turned)
    for seed, phantom in enumerate(phantoms):
        clean = reversed_encoding(phantom.signal, turned, size, seed)
        told = found(clean, phantom, snr, seed)
        assert told.clear
        assert min((told.group == truth).sum(), (told.group != truth).sum()) <= 2


def test_the_prior_by_groups_errs_less_than_on_all_together(phantoms) -> None:
    phantom = phantoms[0]
    clean, inside = reversed_encoding(phantom.signal, HALF), phantom.mask
    low = denoise(noisy(clean, phantom.b0 / 20), TABLE, inside)
    prior = InBfloat16(Run.open("dmri-refiner").denoiser)
    group = np.isin(np.arange(COUNT), HALF).astype(np.int64)
    apart = refine_by_group(prior, low, TABLE, group, inside)
    together = refine(prior, low, TABLE, inside)

    def error(signal: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.square(signal - clean)[inside])))

    assert error(apart.signal) < 0.99 * error(together.signal)
    assert error(apart.signal) < 0.97 * error(low.signal)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phantoms) -> Path:
    monkeypatch.chdir(tmp_path)
    phantom = phantoms[0]
    y = noisy(1000 * reversed_encoding(phantom.signal, HALF), 50 * phantom.b0)
    write_nifti("dwi.nii", y, new_volume(y, AFFINE))
    write_nifti("mask.nii", phantom.mask, new_volume(phantom.mask, AFFINE))
    write_fsl(TABLE, "b", "v", AFFINE)
    index = 1 + np.isin(np.arange(COUNT), HALF)
    texts = {
        # Rows 2 and 3 say the same.
        "acqp": "0 1 0 .05\n0 -1 0 .05\n0 -1 0 .05\n",
        "index": " ".join(map(str, np.where(np.arange(COUNT) % 4, index, index + (index == 2)))),
        "short": " ".join(map(str, index[1:])),
        "high": " ".join(map(str, index + 2)),
        "halves": " ".join(map(str, index + 0.5)),
        "three": "0 1 0\n0 -1 0\n",
        "nowhere": "0 0 0 .05\n",
        "words": "AP PA\n",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    return tmp_path


LINE = "dmri denoise dwi.nii --bvals b --bvecs v --mask mask.nii"


def test_files_and_data_tell_the_same_groups(folder: Path) -> None:
    """And so the same answer; without the groups it is another."""
    for name, options in {"told": "--acqp acqp --index index", "read": ""}.items():
        status, _, err = invoke(f"{LINE} {options} --drop-volumes 7 --out {name}")
        assert status == 0, err
    told, read = (json.loads(Path(name, "summary.json").read_text()) for name in ("told", "read"))
    volumes = [told["volume groups"]["volumes"], read["volume groups"]["volumes"]]
    assert sorted(volumes[0]) == sorted(volumes[1])
    assert read["volume groups"]["told by"] == "the data"
    assert any("two geometries" in text for text in read["warnings"])
    assert not any("two geometries" in text for text in told["warnings"])
    first, second = (read_nifti(f"{name}/dwi_denoised.nii.gz").data for name in ("told", "read"))
    np.testing.assert_allclose(first, second, atol=0.1)
    assert "told by the data" in Path("read/report.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--acqp acqp", "give --index too"),
        ("--index index", "give --acqp too"),
        ("--acqp acqp --index short", "holds 37 numbers and the scan has 38"),
        ("--acqp acqp --index high", "has rows 1 to 3"),
        ("--acqp acqp --index halves", "has rows 1 to 3"),
        ("--acqp three --index index", "four numbers"),
        ("--acqp nowhere --index index", "not 0 0 0"),
        ("--acqp words --index index", "give the file that eddy takes"),
        ("--acqp acqp --index index --method ddm2", "takes no"),
    ],
)
def test_files_that_do_not_fit(folder: Path, options: str, words: str) -> None:
    status, _, err = invoke(f"{LINE} {options} --out no")
    assert (status, err.count("\n")) == (2, 1), err
    assert words in err
    assert not Path("no").exists()
