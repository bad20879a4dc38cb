"""``unfog dmri``: files in and out, and every fault of a table or a scan refused in one sentence
with nothing written.
"""

from __future__ import annotations

import json
import sys
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
SIGMA = 50.0


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring within air, with good tables, a mask and much that is bad."""
    folder, gradients = tmp_path_factory.mktemp("dmri"), real_gradients()[:40]
    clean = np.zeros((24, 24, 6, 40))
    clean[2:22, 2:22] = 1000 * make_ring(gradients, (20, 20, 6)).signal
    y = with_noise(clean, SIGMA)
    volume = new_volume(y, AFFINE)
    write_nifti(folder / "dwi.nii.gz", y, volume)
    write_nifti(folder / "three.nii.gz", y[..., :3], volume)
    write_nifti(folder / "one.nii.gz", y[..., 0], volume)
    write_nifti(folder / "mask.nii.gz", clean[..., 0] > 0, volume)
    write_nifti(folder / "nobody.nii.gz", 0 * y[..., 0], volume)
    write_nifti(folder / "elsewhere.nii.gz", y[..., 0], new_volume(y, np.diag([2.0, 2, 2, 1])))
    write_nifti(folder / "smaller.nii.gz", y[:20, ..., 0], new_volume(y[:20], AFFINE))
    (folder / "cut.nii.gz").write_bytes((folder / "dwi.nii.gz").read_bytes()[:-9])
    write_fsl(gradients, folder / "dwi.bval", folder / "dwi.bvec", AFFINE)
    write_mrtrix(gradients, folder / "dwi.b")
    write_fsl(gradients[:39], folder / "short.bval", folder / "short.bvec", AFFINE)
    write_fsl(gradients[5:8], folder / "three.bval", folder / "three.bvec", AFFINE)
    write_fsl(gradients[6:], folder / "weighted.bval", folder / "weighted.bvec", AFFINE)
    bvals, bvecs = np.loadtxt(folder / "dwi.bval"), np.loadtxt(folder / "dwi.bvec")
    for name, at, value in (("nan", (0, 9), np.nan), ("long", (0, 9), 2.0)):
        bad = bvecs.copy()
        bad[at] = value
        np.savetxt(folder / f"{name}.bvec", bad)
    bvecs[:, 9] = 0
    np.savetxt(folder / "zero.bvec", bvecs)
    bvals[9] = -1000
    np.savetxt(folder / "negative.bval", bvals[None])
    bvals[9] = np.nan
    np.savetxt(folder / "nan.bval", bvals[None])
    (folder / "full").mkdir()
    (folder / "full/mine.txt").write_text("mine")
    return folder


FSL = "--bvals dwi.bval --bvecs dwi.bvec"


@pytest.mark.parametrize("table", [FSL, "--grad dwi.b"], ids=["fsl", "mrtrix"])
def test_a_scan_is_denoised(
    scan: Path, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    out = tmp_path / "new"
    status, stdout, stderr = invoke(f"dmri denoise dwi.nii.gz {table} --out {out} --json")
    assert (status, stderr) == (0, "")
    summary = json.loads(stdout)
    assert summary == {
        "out": str(out),
        **json.loads((out / "summary.json").read_text()),
        "seconds": summary["seconds"],
    }
    assert summary["noise"] == pytest.approx(SIGMA, rel=0.05)
    assert summary["shells"] == {"994": 34}
    assert summary["prior"] == "dmri-refiner"
    assert summary["warnings"] == []
    clean = make_ring(real_gradients()[:40], (20, 20, 6)).signal * 1000
    images = {
        name: nib.load(out / f"{name}.nii.gz")
        for name in ("dwi_denoised", "noise", "residual", "expected_error", "mask")
    }
    for image in images.values():
        np.testing.assert_allclose(image.affine, AFFINE)
        assert image.get_data_dtype() == np.float32
    data, raw = images["dwi_denoised"].get_fdata(), nib.load("dwi.nii.gz").get_fdata()
    inside = images["mask"].get_fdata()[2:22, 2:22] > 0
    assert inside.mean() > 0.9
    assert (images["mask"].get_fdata() > 0).mean() < 0.85
    assert np.std((data[2:22, 2:22] - clean)[inside]) < 0.5 * SIGMA
    np.testing.assert_allclose(images["residual"].get_fdata() + data, raw, atol=0.1)
    page = (out / "report.html").read_text()
    assert page.count("<img") == 31  # ten rows of three slices, and the residual's map
    assert "://" not in page
    again = read_fsl(out / "dwi_denoised.bval", out / "dwi_denoised.bvec", AFFINE, 40)
    np.testing.assert_allclose(again.directions, real_gradients()[:40].directions, atol=1e-8)


def test_a_volume_that_dropped_out_is_told_of(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    y = nib.load("dwi.nii.gz").get_fdata(dtype=np.float32)
    y[..., 20] *= 0.5
    dropped = write_nifti(tmp_path / "dropped.nii.gz", y, new_volume(y, AFFINE))
    status, stdout, _ = invoke(
        f"dmri denoise {dropped} {FSL} --mask mask.nii.gz --out {tmp_path / 'new'} --json"
    )
    assert status == 0
    assert any("Volumes dropped out: 20 " in text for text in json.loads(stdout)["warnings"]), (
        json.loads(stdout)["warnings"]
    )


def test_a_crop_without_air_is_all_head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DIPY's small_64D, a crop of white matter about a ventricle: Otsu would keep the fluid
    alone.
    """
    from dipy.data import get_fnames

    dwi, bvals, bvecs = get_fnames(name="small_64D")
    status, stdout, _ = invoke(
        f"dmri denoise {dwi} --bvals {bvals} --bvecs {bvecs} --out {tmp_path / 'new'} --json"
    )
    assert status == 0
    summary = json.loads(stdout)
    assert summary["voxels"] == 1000
    assert summary["removed over noise"] < 1.05
    [text] = summary["warnings"]
    assert "The noise is correlated between neighbours" in text


def test_the_mask_and_the_bias_are_the_users(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    means = []
    for option in ("--unbias", "--keep-bias"):
        assert (
            invoke(
                f"dmri denoise dwi.nii.gz {FSL} --mask mask.nii.gz {option} --out "
                f"{tmp_path / option}"
            )[0]
            == 0
        )
        summary = json.loads((tmp_path / option / "summary.json").read_text())
        assert summary["voxels"] == 20 * 20 * 6
        means.append(
            nib.load(tmp_path / option / "dwi_denoised.nii.gz").get_fdata()[2:22, 2:22].mean()
        )
    assert means[0] < means[1]


DENOISE, SYNTHESIZE = "dmri denoise dwi.nii.gz --out new", "dmri synthesize --out new"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (DENOISE, "give --bvals and --bvecs, or --grad"),
        (f"{DENOISE} --bvals dwi.bval", "give --bvals and --bvecs, or --grad"),
        (f"{DENOISE} {FSL} --grad dwi.b", "not both"),
        (f"{DENOISE} --bvals nothing.bval --bvecs dwi.bvec", "nothing.bval cannot be read"),
        (
            f"{DENOISE} --bvals short.bval --bvecs dwi.bvec",
            "short.bval has 39 b-values and dwi.bvec 40 vectors",
        ),
        (
            f"{DENOISE} --bvals short.bval --bvecs short.bvec",
            "describes 39 volumes and the scan has 40",
        ),
        (f"{DENOISE} --bvals dwi.bval --bvecs nan.bvec", "non-finite"),
        (f"{DENOISE} --bvals dwi.bval --bvecs long.bvec", "of length"),
        (f"{DENOISE} --bvals dwi.bval --bvecs zero.bvec", "a vector that is zero"),
        (f"{DENOISE} --bvals negative.bval --bvecs dwi.bvec", "b-value of -1000"),
        (f"{DENOISE} --bvals nan.bval --bvecs dwi.bvec", "b-value of nan"),
        (f"{DENOISE} --bvals dwi.bval --bvecs dwi.nii.gz", "not a text file of numbers"),
        (
            "dmri denoise three.nii.gz --out new --bvals three.bval --bvecs three.bvec",
            "say the layout, rows or columns",
        ),
        (f"dmri denoise nothing.nii.gz {FSL} --out new", "nothing.nii.gz"),
        (f"dmri denoise cut.nii.gz {FSL} --out new", "cut.nii.gz is truncated"),
        (f"dmri denoise one.nii.gz {FSL} --out new", "one.nii.gz has one volume"),
        (f"dmri denoise dwi.nii.gz {FSL} --out full", "full exists"),
        (f"{DENOISE} {FSL} --mask nothing.nii.gz", "nothing.nii.gz"),
        (f"{DENOISE} {FSL} --mask nobody.nii.gz", "nobody.nii.gz is empty"),
        (f"{DENOISE} {FSL} --mask elsewhere.nii.gz", "not on the scan's grid"),
        (f"{DENOISE} {FSL} --mask smaller.nii.gz", "not on the scan's grid"),
        (SYNTHESIZE, "give --bvals and --bvecs, or --grad"),
        (f"{SYNTHESIZE} {FSL} --snr 0", "above 0, not 0"),
        (f"{SYNTHESIZE} {FSL} --snr nan", "above 0, not nan"),
        (f"{SYNTHESIZE} --bvals nan.bval --bvecs dwi.bvec", "b-value of nan"),
        (f"{SYNTHESIZE} {FSL} --tissue mask.nii.gz one.nii.gz mask.nii.gz", "rescale them"),
        (
            f"{SYNTHESIZE} {FSL} --tissue mask.nii.gz elsewhere.nii.gz mask.nii.gz",
            "not on one grid",
        ),
        (f"{SYNTHESIZE} {FSL} --tissue nobody.nii.gz nobody.nii.gz nobody.nii.gz", "no brain"),
        (
            f"{SYNTHESIZE} {FSL} --tissue mask.nii.gz nobody.nii.gz nobody.nii.gz --like "
            "dwi.nii.gz",
            "not both",
        ),
        (
            f"{SYNTHESIZE} --bvals weighted.bval --bvecs weighted.bvec --tissue mask.nii.gz "
            "nobody.nii.gz nobody.nii.gz",
            "no b0",
        ),
        ("dmri report full", "full lacks dwi_denoised.nii.gz"),
        ("dmri report nowhere", "nowhere lacks dwi_denoised.nii.gz"),
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


def test_a_report_is_written_again(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    table = f"--bvals {scan / 'dwi.bval'} --bvecs {scan / 'dwi.bvec'}"
    assert invoke(f"dmri denoise {scan / 'dwi.nii.gz'} {table} --out new")[0] == 0
    first = Path("new/report.html").read_bytes()
    Path("new/report.html").unlink()
    assert invoke("dmri report new --json") == (0, '{"report": "new/report.html"}\n', "")
    assert Path("new/report.html").read_bytes() == first
    Path("new/summary.json").write_text("{}")
    status, _, stderr = invoke("dmri report new")
    assert status == 2
    assert "summary.json is not that of a denoised scan" in stderr


@pytest.mark.parametrize(
    "source",
    ["--tissue mask.nii.gz nobody.nii.gz nobody.nii.gz", "--like dwi.nii.gz"],
    ids=["maps", "like"],
)
def test_a_scan_is_synthesized(
    scan: Path, source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    out = tmp_path / "new"
    status, stdout, _ = invoke(f"dmri synthesize {FSL} {source} --snr 25 --out {out} --json")
    assert status == 0
    summary, read = (
        json.loads(stdout),
        {path.name[:-7]: nib.load(path).get_fdata() for path in out.glob("*.nii.gz")},
    )
    assert summary["noise"] == 40
    shapes = {
        "dwi": (40,),
        "dwi_noisefree": (40,),
        "directions": (9,),
        "fractions": (6,),
        "mask": (),
    }
    assert {name: data.shape for name, data in read.items()} == {
        name: (24, 24, 6, *last) for name, last in shapes.items()
    }
    inside = read["mask"] > 0
    assert float(
        np.sqrt(np.mean((read["dwi"] - read["dwi_noisefree"])[inside] ** 2))
    ) == pytest.approx(40, rel=0.05)
    np.testing.assert_allclose(read["fractions"][inside].sum(1), 1, atol=1e-5)
    assert invoke(f"dmri synthesize {FSL} {source} --snr 25 --out {tmp_path / 'again'}")[0] == 0
    assert (out / "dwi.nii.gz").read_bytes() == (tmp_path / "again/dwi.nii.gz").read_bytes()


def test_what_is_synthesized_can_be_denoised(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On an oblique grid too the table that is written turns with the affine: directions fitted lie
    along the truth.
    """
    from unfog.dmri.checks.errors_to_truth import axis_angle
    from unfog.dmri.tensor import fit_tensors

    monkeypatch.chdir(tmp_path)
    maps = " ".join(str(scan / f"{name}.nii.gz") for name in ("mask", "nobody", "nobody"))
    table = f"--bvals {scan / 'dwi.bval'} --bvecs {scan / 'dwi.bvec'}"
    assert invoke(f"dmri synthesize {table} --tissue {maps} --out made")[0] == 0
    assert (
        invoke(
            "dmri denoise made/dwi.nii.gz --bvals made/dwi.bval --bvecs made/dwi.bvec --mask "
            "made/mask.nii.gz --out done"
        )[0]
        == 0
    )
    gradients = read_fsl(
        "done/dwi_denoised.bval",
        "done/dwi_denoised.bvec",
        nib.load("done/dwi_denoised.nii.gz").affine,
    )
    fractions = nib.load("made/fractions.nii.gz").get_fdata()
    family = fractions[..., :3].argmax(-1)
    alone = fractions[..., :3].max(-1) > 0.97
    directions = nib.load("made/directions.nii.gz").get_fdata().reshape(*family.shape, 3, 3)
    truth = np.take_along_axis(directions, family[..., None, None], 3)[:, :, :, 0][alone]
    found = fit_tensors(
        nib.load("done/dwi_denoised.nii.gz").get_fdata()[alone], gradients
    ).direction
    assert np.median(axis_angle(found, truth)) < 3


def test_three_volumes_with_their_layout(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(scan)
    table = "--bvals three.bval --bvecs three.bvec --layout rows"
    assert invoke(f"dmri denoise three.nii.gz {table} --out {tmp_path / 'new'}")[0] == 0


def test_without_the_extra(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scan)
    monkeypatch.setitem(sys.modules, "dipy.segment.mask", None)
    status, _, stderr = invoke(f"{DENOISE} {FSL}")
    assert (status, stderr) == (
        2,
        "unfog: DIPY is not installed; it comes with an extra: pip install 'unfog[dmri]'.\n",
    )
    assert not Path("new").exists()


def test_a_failure_on_the_way_leaves_nothing(
    scan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from unfog.files import folder

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "residual.nii.gz")

    monkeypatch.chdir(scan)
    monkeypatch.setattr(folder, "write_json", full)
    status, _, stderr = invoke(f"dmri denoise dwi.nii.gz {FSL} --out {tmp_path / 'new'}")
    assert (status, stderr) == (2, "unfog: residual.nii.gz: No space left on device.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fill", [7.0, np.nan], ids=["constant", "nan"])
def test_odd_scans_give_defined_answers(
    tmp_path: Path, fill: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constant, and one slice with voxels that are not finite: masked, counted, reported."""
    monkeypatch.chdir(tmp_path)
    table: GradientTable = real_gradients()[:12]
    y = np.full((6, 5, 1 if np.isnan(fill) else 4, 12), 5.0, np.float32)
    y[0, 0] = fill
    nib.save(nib.Nifti1Image(y if np.isnan(fill) else np.full_like(y, fill), AFFINE), "dwi.nii.gz")
    write_fsl(table, "dwi.bval", "dwi.bvec", AFFINE)
    status, stdout, _ = invoke(f"dmri denoise dwi.nii.gz {FSL} --out new --json")
    assert status == 0
    assert json.loads(stdout)["warnings"]
    assert all(
        np.isfinite(nib.load(path).get_fdata()).all() for path in Path("new").glob("*.nii.gz")
    )
