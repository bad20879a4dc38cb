"""``unfog bids``: participants one after the other into one data set of derivatives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.nifti import new_volume, write_nifti

AFFINE = np.diag([2.0, 2, 2, 1])
SCANS = [f"sub-0{k}/ses-{s}/dwi/sub-0{k}_ses-{s}" for k in (1, 2) for s in "ab"]


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two participants of two sessions, with one table."""
    monkeypatch.chdir(tmp_path)
    root, table = tmp_path / "raw", real_gradients()[:10]
    clean = make_ring(table, (8, 8, 6)).signal
    for seed, scan in enumerate(SCANS):
        (root / scan).parent.mkdir(parents=True)
        y = with_noise(clean, 0.05, seed)
        write_nifti(root / f"{scan}_dwi.nii.gz", y, new_volume(y, AFFINE))
    write_fsl(table, root / "dwi.bval", root / "dwi.bvec", AFFINE)
    (root / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    return root


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}


def test_participants_are_added_and_finished_ones_skipped(raw: Path) -> None:
    line = "bids raw out participant --prior none --json"
    status, told, err = invoke(f"{line} --participant-label 01 --session-label a")
    assert status == 0, err
    assert json.loads(told)["done"] == ["sub-01_ses-a"]
    before = times(Path("out"))
    assert len(before) == 5
    status, told, _ = invoke(f"{line} --participant-label 01 02")
    assert status == 0
    assert json.loads(told)["finished before"] == ["sub-01_ses-a"]
    assert len(json.loads(told)["done"]) == 3
    after = times(Path("out"))
    assert before.items() <= after.items()
    assert len(after) == 20
    said = json.loads(Path("out/dataset_description.json").read_text())
    assert said["GeneratedBy"][0]["Name"] == "unfog"
    assert not list(Path("out").glob(".unfog-*"))


def test_a_bad_scan_is_named_and_the_others_are_done(raw: Path) -> None:
    bad = raw / f"{SCANS[1]}_dwi.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-9])
    status, _, err = invoke("bids raw out participant --prior none")
    assert (status, err.count("\n")) == (2, 1)
    assert "1 of 4 series failed" in err
    assert bad.name in err
    assert not list(Path("out").rglob("sub-01_ses-b*"))
    assert len(list(Path("out").rglob("*_desc-denoised_dwi.nii.gz"))) == 3
    # Mended, it alone is left to do.
    bad.write_bytes(whole)
    status, told, _ = invoke("bids raw out participant --prior none --json")
    assert status == 0
    assert json.loads(told)["done"] == ["sub-01_ses-b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bids raw out group", "nothing to do at the group level"),
        ("bids raw raw participant", "made by"),
        ("bids raw/sub-01 out participant", "without dataset_description.json"),
        ("bids raw out participant --participant-label 09", "no diffusion scan of sub-09"),
        ("bids raw out participant 01", "follows no option alone"),
        ("bids raw full participant", "no data set of derivatives"),
        ("bids raw other participant --prior none", "the same options"),
    ],
)
def test_refused_in_one_sentence(raw: Path, line: str, words: str) -> None:
    for name in ("full", "other"):
        Path(name).mkdir()
        (Path(name) / "notes.txt").touch()
    fields = {"GeneratedBy": [{"Name": "unfog", "Description": "unfog bids, prior=dmri-refiner"}]}
    Path("other/dataset_description.json").write_text(json.dumps(fields))
    status, _, err = invoke(line)
    assert (status, err.count("\n")) == (2, 1), err
    assert words in err
    assert not Path("out").exists()
