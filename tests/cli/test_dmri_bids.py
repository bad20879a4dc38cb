"""``unfog dmri`` on a BIDS data set: derivatives that BIDS would know, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import read_fsl, write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.bids import read_bids
from unfog.files.nifti import new_volume, write_nifti

AFFINE = np.array([[-2.0, 0, 0.1, 20], [0, 2, 0, -30], [0.1, 0, 2, 5], [0, 0, 0, 1]])
SHAPE, VOLUMES = (12, 12, 5), 30
PLACES = ("sub-01/dwi/sub-01", "sub-02/ses-1/dwi/sub-02_ses-1_run-1")
STILL = "sub-01/dwi/sub-01_dir-PA"


def table() -> GradientTable:
    return real_gradients()[:VOLUMES]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scans that share a table at the root, and one without diffusion weighting."""
    root, clean = tmp_path / "raw", 1000 * make_ring(table(), SHAPE).signal
    for seed, place in enumerate(PLACES):
        (root / place).parent.mkdir(parents=True)
        y = with_noise(clean, 40.0, seed)
        write_nifti(root / f"{place}_dwi.nii.gz", y, new_volume(y, AFFINE))
    write_nifti(root / f"{STILL}_dwi.nii.gz", y[..., :2], new_volume(y[..., :2], AFFINE))
    write_fsl(
        GradientTable(np.zeros(2), np.zeros((2, 3))),
        root / f"{STILL}_dwi.bval",
        root / f"{STILL}_dwi.bvec",
        AFFINE,
    )
    write_fsl(table(), root / "dwi.bval", root / "dwi.bvec", AFFINE)
    (root / "dwi.json").write_text(json.dumps({"EchoTime": 0.09, "PatientName": "nobody"}))
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "tiny", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.1/2"})
    )
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_denoised_derivatives(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    before = tree(data)
    status, stdout, stderr = invoke("dmri denoise . --prior none --out derivatives/unfog --json")
    assert (status, stderr) == (0, "")
    told, out = json.loads(stdout), data / "derivatives/unfog"
    assert (told["scans"], told["left out"]) == (2, ["sub-01_dir-PA"])
    maps = ("noise", "residual", "expectederror")
    ends = [f"desc-denoised_dwi.{kind}" for kind in ("nii.gz", "bval", "bvec", "json")] + [
        f"desc-{name}_dwimap.nii.gz" for name in maps
    ]
    ends += ["dwimap.json", "report.html", "desc-brain_mask.nii.gz", "desc-brain_mask.json"]
    names = {f"{place}_{end}" for place in PLACES for end in ends} | {
        "dataset_description.json",
        ".bidsignore",
    }
    assert set(tree(out)) == names
    assert {
        name: text for name, text in tree(data).items() if not name.startswith("derivatives")
    } == before
    said = json.loads((out / "dataset_description.json").read_text())
    assert said["DatasetType"] == "derivative"
    assert said["GeneratedBy"][0]["Name"] == "unfog"
    assert said["SourceDatasets"] == [{"DOI": "doi:10.1/2", "URL": "../.."}]
    for place in PLACES:
        sidecar = json.loads((out / f"{place}_desc-denoised_dwi.json").read_text())
        assert sidecar["Sources"] == [f"bids:raw:{place}_dwi.nii.gz"]
        assert sidecar["EchoTime"] == 0.09
        assert "PatientName" not in sidecar
        assert sidecar["unfog"]["noise"] == pytest.approx(40, rel=0.15)
        image = nib.load(out / f"{place}_desc-denoised_dwi.nii.gz")
        np.testing.assert_allclose(image.affine, AFFINE)
        again = read_fsl(
            *(out / f"{place}_desc-denoised_dwi.{kind}" for kind in ("bval", "bvec")),
            AFFINE,
            VOLUMES,
        )
        np.testing.assert_allclose(again.directions, table().directions, atol=1e-8)
    assert [scan.stem for scan in read_bids(out).scans] == [
        f"{Path(place).name}_desc-denoised" for place in PLACES
    ]


def test_subjects_in_bulk(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of derivatives each, as the command makes it of one subject."""
    monkeypatch.chdir(data.parent)
    status, told, _ = invoke("bulk --items raw --out bulk dmri denoise {} --prior none")
    assert status == 0, told
    Path("alone").mkdir()
    for label in ("01", "02"):
        alone = Path(f"alone/sub-{label}")
        assert invoke(f"dmri denoise raw --prior none --subject {label} --out {alone}")[0] == 0
        made = tree(Path(f"bulk/sub-{label}"))
        record = json.loads(made.pop("item.json"))
        assert made == tree(alone)
        assert "raw/dwi.bval" in record["inputs"]  # which its scans inherit
        assert not any(
            f"sub-{other}" in path for other in {"01", "02"} - {label} for path in record["inputs"]
        )


def test_a_subject_as_a_scan_of_its_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    assert invoke("dmri denoise raw --prior none --subject sub-02 --session 1 --out some")[0] == 0
    assert not (Path("some") / PLACES[0]).parent.exists()
    assert "DatasetLinks" not in json.loads(
        Path("some/dataset_description.json").read_text()
    )  # where the data are is nobody's business
    assert (
        invoke(
            f"dmri denoise raw/{PLACES[1]}_dwi.nii.gz --prior none --bvals raw/dwi.bval --bvecs "
            "raw/dwi.bvec --out one"
        )[0]
        == 0
    )
    one, same = Path("one/dwi_denoised.nii.gz"), Path(f"some/{PLACES[1]}_desc-denoised_dwi.nii.gz")
    assert one.read_bytes() == same.read_bytes()


@pytest.mark.slow
def test_completed_and_fibres(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    write_fsl(real_gradients(), "all.bval", "all.bvec", AFFINE)
    line = "--target-bvals all.bval --target-bvecs all.bvec --subject 01 --out full"
    assert invoke(f"dmri complete raw {line}")[0] == 0
    assert nib.load(f"full/{PLACES[0]}_desc-completed_dwi.nii.gz").shape == (*SHAPE, 70)
    assert nib.load(f"full/{PLACES[0]}_desc-std_dwimap.nii.gz").shape == (*SHAPE, 70)
    assert invoke("dmri fod raw --samples 4 --subject 01 --out fibres")[0] == 0
    assert nib.load(f"fibres/{PLACES[0]}_desc-direction_dwimap.nii.gz").shape == (*SHAPE, 3)
    # Realisations along one more axis, and their mean.
    draws = nib.load(f"fibres/{PLACES[0]}_model-unfog_param-fodbootstrap_dwimap.nii.gz")
    mean = nib.load(f"fibres/{PLACES[0]}_model-unfog_param-fod_dwimap.nii.gz")
    assert draws.shape == (*SHAPE, 15, 4)
    np.testing.assert_allclose(draws.get_fdata().mean(-1), mean.get_fdata(), atol=1e-6)
    invoke(
        f"dmri fod raw/{PLACES[0]}_dwi.nii.gz --bvals raw/dwi.bval --bvecs raw/dwi.bvec "
        "--samples 4 --out alone"
    )
    flat = nib.load("alone/fod_sh_samples.nii.gz").get_fdata()
    np.testing.assert_allclose(draws.get_fdata()[..., 2], flat[..., 30:45])
    said = json.loads(Path(f"fibres/{PLACES[0]}_model-unfog_dwimap.json").read_text())
    assert said["BootstrapParameters"] == {"Realisations": 4, "Seed": 0}
    assert json.loads(Path(f"fibres/{PLACES[0]}_dwimap.json").read_text())["unfog"]["samples"] == 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dmri denoise raw --out new --bvals raw/dwi.bval", "brings its own tables"),
        (
            "dmri denoise raw --out new --subject 07",
            "no diffusion scan of sub-07; it has sub-01, sub-02",
        ),
        ("dmri denoise raw/sub-01 --out new", "without dataset_description.json"),
        ("dmri denoise raw --out raw", "exists and is not empty"),
        ("dmri denoise raw/sub-01/dwi/sub-01_dwi.nii.gz --out new --subject 01", "is one scan"),
        ("dmri fod raw --out new --subject 01 --prior nowhere", "nowhere is not a run"),
    ],
)
def test_refused_in_one_sentence(
    data: Path, line: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    before = tree(data.parent)
    status, stdout, stderr = invoke(line)
    assert (status, stdout) == (2, ""), stderr
    assert stderr.startswith("unfog: ")
    assert stderr.count("\n") == 1
    assert words in stderr
    assert tree(data.parent) == before


def test_a_bad_scan_on_the_way_leaves_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    scan = data / f"{PLACES[1]}_dwi.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-9])
    status, _, stderr = invoke("dmri denoise raw --prior none --out deep/new")
    assert (status, stderr.count("\n")) == (2, 1)
    assert f"{scan.name} is truncated" in stderr
    assert not list(data.parent.glob("**/.unfog-*"))
    assert not Path("deep/new").exists()
