"""What the table says, and the options about it: b = 0 above 50, volumes left out, voxels that were
not measured, coils and precision.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.nifti import new_volume, write_nifti

AFFINE = np.diag([2.0, 2, 2, 1])
FSL = "--bvals dwi.bval --bvecs dwi.bvec"


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A ring in the working folder, 30 volumes, a corner of which was not measured."""
    monkeypatch.chdir(tmp_path)
    gradients = real_gradients()[:30]
    y = with_noise(1000 * make_ring(gradients, (16, 16, 6)).signal, 50.0)
    y[:3, :3] = 0
    write_nifti(tmp_path / "dwi.nii.gz", y, new_volume(y, AFFINE))
    write_fsl(gradients, tmp_path / "dwi.bval", tmp_path / "dwi.bvec", AFFINE)
    return np.asarray(nib.load("dwi.nii.gz").dataobj)


def summary_of(command: str) -> dict[str, object]:
    status, stdout, stderr = invoke(f"dmri {command} --json")
    assert (status, stderr) == (0, "")
    return dict(json.loads(stdout))


def test_a_trace_image_is_left_out(scan: np.ndarray) -> None:
    vectors = np.loadtxt("dwi.bvec")
    vectors[:, 12] = 0
    np.savetxt("dwi.bvec", vectors)
    status, _, stderr = invoke(f"dmri denoise dwi.nii.gz {FSL} --out no")
    assert status == 2
    assert "--drop-volumes 12" in stderr
    told = summary_of(f"denoise dwi.nii.gz {FSL} --prior none --drop-volumes 12,20-21 --out new")
    assert told["volumes"] == 27
    assert "Left out as asked: volumes 12, 20, 21, counted from 0." in told["warnings"]
    kept = np.delete(np.arange(30), [12, 20, 21])
    whole = sum(nib.load(f"new/{name}.nii.gz").get_fdata() for name in ("dwi_denoised", "residual"))
    np.testing.assert_allclose(whole, scan[..., kept], atol=0.1)
    np.testing.assert_allclose(
        np.loadtxt("new/dwi_denoised.bval"), np.loadtxt("dwi.bval")[kept], atol=1e-6
    )


@pytest.mark.parametrize(
    ("numbers", "words"),
    [("30", "volumes 0 to 29"), ("2,x", "3,17,40-42"), ("-1", "3,17,40-42"), ("0-29", "keep some")],
)
def test_what_cannot_be_left_out(scan: np.ndarray, numbers: str, words: str) -> None:
    status, _, stderr = invoke(
        f"dmri denoise dwi.nii.gz {FSL} --prior none --drop-volumes={numbers} --out new"
    )
    assert status == 2
    assert words in stderr
    assert not Path("new").exists()


def test_b0_is_where_the_user_says(scan: np.ndarray) -> None:
    bvals = np.loadtxt("dwi.bval")
    low = bvals < 50
    np.savetxt("dwi.bval", np.where(low, 130.0, bvals)[None])
    vectors = np.loadtxt("dwi.bvec")
    vectors[:, low] = [[1.0], [0], [0]]
    np.savetxt("dwi.bvec", vectors)
    told = summary_of(f"denoise dwi.nii.gz {FSL} --prior none --b0-threshold 150 --out new")
    assert told["b0 volumes"] == low.sum()
    without = summary_of(f"denoise dwi.nii.gz {FSL} --prior none --out without")
    assert without["b0 volumes"] == 0


@pytest.mark.parametrize("command", ["denoise", "complete", "fod"])
def test_voxels_that_are_0_stay_0(scan: np.ndarray, command: str) -> None:
    more = {
        "denoise": "",
        "complete": "--target-bvals dwi.bval --target-bvecs dwi.bvec",
        "fod": "--samples 4",
    }[command]
    told = summary_of(f"{command} dwi.nii.gz {FSL} {more} --out new")
    assert told["voxels"] <= 16 * 16 * 6 - 54
    for path in Path("new").glob("*.nii.gz"):
        values = nib.load(path).get_fdata()
        assert not values[:3, :3].any(), path.name
        assert values.any(), path.name


def test_the_number_of_coils_and_the_bias(scan: np.ndarray) -> None:
    common = f"dwi.nii.gz {FSL} --target-bvals dwi.bval --target-bvecs dwi.bvec"
    kept, taken = (
        summary_of(f"complete {common} {option} --out {option[2:6]}")
        for option in ("--keep-bias", "--unbias")
    )
    assert (kept["bias removed"], taken["bias removed"]) == (False, True)
    means = [
        nib.load(f"{name}/dwi_completed.nii.gz").get_fdata().mean() for name in ("keep", "unbi")
    ]
    assert means[0] > means[1]


def test_the_precision_is_what_was_asked_for(scan: np.ndarray) -> None:
    told = [
        summary_of(f"denoise dwi.nii.gz {FSL} --precision {name} --out {name}")["precision"]
        for name in ("bf16", "fp32", "auto")
    ]
    assert told[:2] == ["bf16", "fp32"]
    assert told[2] in told[:2]
    a, b = (nib.load(f"{name}/dwi_denoised.nii.gz").get_fdata() for name in ("bf16", "fp32"))
    assert 0 < np.abs(a - b).max() < 50
