"""``unfog dmri complete`` and ``fod``: files in and out, and every fault refused in one sentence
with nothing written.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import read_fsl, write_fsl, write_mrtrix
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.nifti import new_volume, write_nifti

AFFINE = np.array([[-2.0, 0, 0.1, 20], [0, 2, 0, -30], [0.1, 0, 2, 5], [0, 0, 0, 1]])
SIGMA, MEASURED = 50.0, 36
SHAPE = (16, 16, 4)


def ring():
    return make_ring(real_gradients(), SHAPE)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring of fibres: 36 volumes measured of 70."""
    folder, gradients = tmp_path_factory.mktemp("fibres"), real_gradients()
    y = with_noise(1000 * ring().signal, SIGMA)[..., :MEASURED]
    volume = new_volume(y, AFFINE)
    write_nifti(folder / "dwi.nii.gz", y, volume)
    write_nifti(folder / "mask.nii.gz", np.ones(SHAPE), volume)
    write_fsl(gradients[:MEASURED], folder / "dwi.bval", folder / "dwi.bvec", AFFINE)
    write_fsl(gradients, folder / "all.bval", folder / "all.bvec", AFFINE)
    write_mrtrix(gradients, folder / "all.b")
    write_fsl(
        GradientTable(2 * gradients.bvals, gradients.directions),
        folder / "other.bval",
        folder / "other.bvec",
        AFFINE,
    )
    write_fsl(gradients[:12], folder / "few.bval", folder / "few.bvec", AFFINE)
    (folder / "full").mkdir()
    (folder / "full/mine.txt").write_text("mine")
    return folder


FSL, MASK = "--bvals dwi.bval --bvecs dwi.bvec", "--mask mask.nii.gz"
TARGET = "--target-bvals all.bval --target-bvecs all.bvec"


@pytest.mark.parametrize("target", [TARGET, "--target-grad all.b"], ids=["fsl", "mrtrix"])
def test_a_scan_is_completed(
    scan: Path, target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    out = tmp_path / "new"
    status, stdout, stderr = invoke(
        f"dmri complete dwi.nii.gz {FSL} {target} {MASK} --out {out} --json"
    )
    assert status == 0, stderr
    assert "unfog:" not in stderr  # no warning; a slow machine shows progress
    summary = json.loads(stdout)
    assert summary == {
        "out": str(out),
        **json.loads((out / "summary.json").read_text()),
        "seconds": summary["seconds"],
    }
    assert (summary["volumes"], summary["target volumes"], summary["target shells"]) == (
        36,
        70,
        {"994": 64},
    )
    images = {name: nib.load(out / f"{name}.nii.gz") for name in ("dwi_completed", "std")}
    for image in images.values():
        assert image.shape == (*SHAPE, 70)
        np.testing.assert_allclose(image.affine, AFFINE)
    error = images["dwi_completed"].get_fdata() - 1000 * ring().signal
    assert np.std(error[..., MEASURED:]) < 0.6 * SIGMA
    assert 0.6 < np.sqrt(np.mean((error / images["std"].get_fdata())[..., MEASURED:] ** 2)) < 1.6
    table = read_fsl(out / "dwi_completed.bval", out / "dwi_completed.bvec", AFFINE, 70)
    np.testing.assert_allclose(table.directions, real_gradients().directions, atol=1e-8)
    page = (out / "report.html").read_text()
    assert page.count("<img") > 8
    assert "://" not in page


@pytest.mark.slow
def test_what_was_measured_is_what_denoise_writes(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    assert invoke(f"dmri denoise dwi.nii.gz {FSL} {MASK} --out {tmp_path / 'one'}")[0] == 0
    assert (
        invoke(f"dmri complete dwi.nii.gz {FSL} {TARGET} {MASK} --out {tmp_path / 'two'}")[0] == 0
    )
    one, two = (
        nib.load(tmp_path / "one/dwi_denoised.nii.gz").get_fdata(),
        nib.load(tmp_path / "two/dwi_completed.nii.gz").get_fdata(),
    )
    b0 = np.loadtxt("dwi.bval") < 50
    np.testing.assert_allclose(two[..., :MEASURED][..., ~b0], one[..., ~b0], atol=0.01)
    # Volumes at b = 0 cannot be told apart in a target: they get one image, while those measured
    # keep what they have of their own.
    completed, measured = two[..., :MEASURED][..., b0], one[..., b0]
    assert np.ptp(completed, axis=-1).max() == 0
    np.testing.assert_allclose(completed[..., 0], measured.mean(-1), rtol=0.005, atol=0.01)


def test_fibres_of_a_scan(scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(scan)
    out = tmp_path / "new"
    status, stdout, stderr = invoke(
        f"dmri fod dwi.nii.gz {FSL} {MASK} --samples 8 --out {out} --json"
    )
    assert status == 0, stderr
    assert "unfog:" not in stderr  # no warning; a slow machine shows progress
    summary = json.loads(stdout)
    assert (summary["samples"], summary["fod samples"], summary["shell"]) == (8, 8, 994)
    assert summary["noise"] == pytest.approx(SIGMA, rel=0.1)
    read = {path.name[:-7]: nib.load(path).get_fdata() for path in out.glob("*.nii.gz")}
    shapes = {"direction": (3,), "fod_sh_samples": (120,)} | dict.fromkeys(
        ("cone95", "cone50", "fa_mean", "fa_std", "md_mean", "md_std", "trust"), ()
    )
    assert {name: data.shape for name, data in read.items()} == {
        name: (*SHAPE, *last) for name, last in shapes.items()
    }
    fibrous, truth = ring().fibrous, ring().direction
    off = np.degrees(np.arccos(np.clip(np.abs((read["direction"] * truth).sum(-1)), 0, 1)))[fibrous]
    assert np.median(off) < 6
    assert 1 < np.median(read["cone95"][fibrous]) < 30
    assert np.abs(read["md_mean"][fibrous].mean() / 0.767e-3 - 1) < 0.1
    assert "://" not in (out / "report.html").read_text()


COMPLETE, FOD = "dmri complete dwi.nii.gz --out new", "dmri fod dwi.nii.gz --out new"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{COMPLETE} {FSL}", "give --target-bvals and --target-bvecs, or --target-grad"),
        (f"{COMPLETE} {TARGET}", "give --bvals and --bvecs, or --grad"),
        (
            f"{COMPLETE} {FSL} {TARGET} --target-grad all.b",
            "Give --target-grad, or --target-bvals and --target-bvecs, but not both",
        ),
        (
            f"{COMPLETE} {FSL} --target-bvals other.bval --target-bvecs other.bvec",
            "b = 1988 was not measured, and b = 994 was",
        ),
        (f"{COMPLETE} {FSL} {TARGET} --prior nowhere", "nowhere is not a run"),
        (f"dmri complete dwi.nii.gz --out full {FSL} {TARGET}", "is not empty"),
        (
            f"dmri complete dwi.nii.gz --out new --bvals few.bval --bvecs few.bvec {TARGET}",
            "12 volumes and the scan has 36",
        ),
        (FOD, "give --bvals and --bvecs, or --grad"),
        (
            f"{FOD} --bvals few.bval --bvecs few.bvec",
            "15 directions or more between b = 700 and 3000",
        ),
        (f"{FOD} --bvals all.bval --bvecs all.bvec", "70 volumes and the scan has 36"),
        (f"dmri fod dwi.nii.gz --out full {FSL}", "is not empty"),
        (f"dmri fod nothing.nii.gz --out new {FSL}", "nothing.nii.gz cannot be read"),
    ],
)
def test_refused_in_one_sentence(
    scan: Path, line: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan)
    before = sorted(scan.rglob("*"))
    status, stdout, stderr = invoke(line)
    assert (status, stdout) == (2, ""), stderr
    assert stderr.startswith("unfog: ")
    assert stderr.count("\n") == 1
    assert words in stderr
    assert sorted(scan.rglob("*")) == before


@pytest.mark.slow
def test_what_was_denoised_is_told(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Few voxels say nothing of a scan's eigenvalues, so a larger ring."""
    monkeypatch.chdir(tmp_path)
    gradients = real_gradients()[:MEASURED]
    y = with_noise(1000 * make_ring(gradients, (24, 24, 6)).signal, SIGMA)
    volume = new_volume(y, AFFINE)
    write_nifti("dwi.nii.gz", y, volume)
    write_nifti("mask.nii.gz", np.ones(y.shape[:3]), volume)
    write_fsl(gradients, "dwi.bval", "dwi.bvec", AFFINE)
    assert (
        invoke(f"dmri denoise dwi.nii.gz {FSL} {MASK} --prior none --keep-bias --out once")[0] == 0
    )
    status, stdout, _ = invoke(
        f"dmri fod once/dwi_denoised.nii.gz {FSL} {MASK} --samples 2 --out new --json"
    )
    assert status == 0
    told = " ".join(json.loads(stdout)["warnings"])
    assert "denoised already" in told
    assert "too narrow" in told


@pytest.mark.slow
def test_fibres_that_differ_from_voxel_to_voxel_are_told(tmp_path: Path) -> None:
    """A fibre of its own in each voxel, as in no brain, gets a warning from what its draws leave; a
    ring of fibres doesn't.
    """
    gradients, random, shape = real_gradients(), np.random.default_rng(0), (14, 14, 6)
    own = random.standard_normal((*shape, 3))
    own /= np.linalg.norm(own, axis=-1, keepdims=True)
    along = (own @ gradients.directions.T) ** 2
    alone = 1000 * np.exp(-gradients.bvals * 1e-3 * (0.3 + 1.4 * along))
    scans = {"alone": alone, "ring": 1000 * make_ring(gradients, (30, 30, 6)).signal}
    write_fsl(gradients, tmp_path / "dwi.bval", tmp_path / "dwi.bvec", AFFINE)
    told = {}
    for name, signal in scans.items():
        y = with_noise(signal, 30.0)
        write_nifti(tmp_path / f"{name}.nii.gz", y, new_volume(y, AFFINE))
        write_nifti(tmp_path / f"{name}-mask.nii.gz", np.ones(y.shape[:3]), new_volume(y, AFFINE))
        line = (
            f"--bvals {tmp_path / 'dwi.bval'} --bvecs {tmp_path / 'dwi.bvec'} --mask "
            f"{tmp_path / f'{name}-mask.nii.gz'}"
        )
        status, stdout, _ = invoke(
            f"dmri fod {tmp_path / f'{name}.nii.gz'} {line} --samples 30 --out {tmp_path / name} "
            "--json"
        )
        assert status == 0
        told[name] = json.loads(stdout)
    assert told["alone"]["misfit"][1] > 1.25 > 1.1 > told["ring"]["misfit"][1]
    assert any("voxel to voxel" in text for text in told["alone"]["warnings"])
    assert not any("voxel to voxel" in text for text in told["ring"]["warnings"])
