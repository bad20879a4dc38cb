"""A DICOM series on the command line: in as it came from a scanner, out as NIfTI on its grid, with
nobody's name.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.commands import invoke
from support.dicom_files import NAME, headers, write

from unfog.files.dicom import read_dicom

pytest.importorskip("pydicom")
AXES = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0]])  # turned by 37 degrees about the head
STEP = np.array([0, 0, 3.0])


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "series", headers(AXES, STEP, count=2, shape=(8, 8)))


@pytest.mark.parametrize("task", ["denoise", "superres --factor 2"])
def test_a_series_is_restored_on_its_own_grid(series: Path, run: Path, task: str) -> None:
    """The mean at little noise is the input, so the grid, the affine and the units are those of the
    scan.
    """
    status, out, err = invoke(
        f"restore {run} series --task {task} --noise 0.01 --samples 2 --steps 3 --out out --json"
    )
    assert status == 0, err
    found, scan = json.loads(out), read_dicom(series)
    names = ["mean", "std", "sample-00", "sample-01", *(["misfit"] if task == "denoise" else [])]
    assert sorted(found["files"]) == sorted(f"{name}.nii.gz" for name in names)
    mean = nib.load("out/mean.nii.gz")
    if task == "denoise":
        np.testing.assert_allclose(mean.affine, scan.affine, atol=1e-4)
        assert float(np.abs(mean.get_fdata() - scan.data).max()) < 0.05 * float(np.ptp(scan.data))
    else:
        assert mean.shape == (16, 16, 2)
        np.testing.assert_allclose(
            nib.affines.voxel_sizes(mean.affine), (0.375, 0.75, 3), rtol=1e-4
        )
    for file in Path("out").iterdir():
        content = nib.load(file).to_bytes() if file.suffix == ".gz" else file.read_bytes()
        for word in (NAME, "JANE", "0815", "1970"):
            assert word.encode() not in content


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("restore {run} empty --task denoise --out new", "holds no DICOM images"),
        (
            "restore {run} both --task denoise --out new",
            "holds 2 series (MR 7, 2 slices, such as a0; MR 7, 2 slices, such as b0)",
        ),
        ("restore {run} cut --task denoise --out new", "slices are missing"),
    ],
)
def test_refused_in_one_sentence(series: Path, run: Path, line: str, words: str) -> None:
    Path("empty").mkdir()
    write(Path("both"), headers(AXES, STEP, count=2, shape=(8, 8)), "a")
    write(Path("both"), headers(AXES, STEP, count=2, shape=(8, 8)), "b")
    write(
        Path("cut"),
        [one for k, one in enumerate(headers(AXES, STEP, count=5, shape=(8, 8))) if k != 3],
    )
    status, out, err = invoke(line.format(run=run))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("unfog: ")
    assert words in err
    assert not Path("new").exists()


def test_training_reads_series(series: Path) -> None:
    line = (
        "train edm --data series --out trained --steps 1 --set data.least=0 --set "
        "training.batch=2 --set network.channels=8"
    )
    status, _, err = invoke(f"{line} --set network.groups=4")
    assert status == 0, err
    assert "name: dicom" in Path("trained/config.yaml").read_text()
