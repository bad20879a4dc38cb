"""Scans of a BIDS data set: which there are, and what they inherit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION, read_bids


def put(root: Path, *names: str, content: str = "") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two subjects, one of them of two sessions; tables at the root, in a session and beside a
    scan.
    """
    put(tmp_path, DESCRIPTION, content='{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    put(tmp_path, "dwi.bval", "dwi.bvec", "acq-fast_dwi.bvec", "T1w.json")
    put(
        tmp_path,
        "sub-01/dwi/sub-01_dwi.nii.gz",
        "sub-01/dwi/sub-01_dwi.bval",
        "sub-01/anat/sub-01_T1w.nii.gz",
    )
    put(tmp_path, "sub-01/dwi/sub-01_part-phase_dwi.nii.gz", "sub-01/dwi/sub-01_sbref.nii.gz")
    for session in ("a", "b"):
        put(tmp_path, f"sub-02/ses-{session}/dwi/sub-02_ses-{session}_acq-slow_dwi.nii")
    put(
        tmp_path,
        "sub-02/ses-a/sub-02_ses-a_dwi.bvec",
        "derivatives/other/sub-03/dwi/sub-03_dwi.nii.gz",
    )
    put(tmp_path, "dwi.json", content='{"EchoTime": 0.1, "RepetitionTime": 3}')
    put(tmp_path, "sub-02/sub-02_acq-slow_dwi.json", content='{"EchoTime": 0.2}')
    put(tmp_path, "sub-02/sub-02_acq-fast_dwi.json", content='{"EchoTime": 0.3}')
    return tmp_path


def test_scans_and_what_they_inherit(tree: Path) -> None:
    found = read_bids(tree)
    one, a, b = found.scans
    assert found.description["Name"] == "tiny"
    assert [scan.stem for scan in found.scans] == [
        "sub-01",
        "sub-02_ses-a_acq-slow",
        "sub-02_ses-b_acq-slow",
    ]
    assert one.place == Path("sub-01/dwi")
    assert [scan.bval.relative_to(tree).as_posix() for scan in found.scans] == [
        "sub-01/dwi/sub-01_dwi.bval",
        "dwi.bval",
        "dwi.bval",
    ]
    assert [scan.bvec.relative_to(tree).as_posix() for scan in found.scans] == [
        "dwi.bvec",
        "sub-02/ses-a/sub-02_ses-a_dwi.bvec",
        "dwi.bvec",
    ]
    assert one.sidecar == {"EchoTime": 0.1, "RepetitionTime": 3}
    assert a.sidecar == b.sidecar == {"EchoTime": 0.2, "RepetitionTime": 3}


def test_some_alone(tree: Path) -> None:
    assert [scan.stem for scan in read_bids(tree, ["01"]).scans] == ["sub-01"]
    assert [scan.stem for scan in read_bids(tree, ["sub-02"], ["b"]).scans] == [
        "sub-02_ses-b_acq-slow"
    ]
    assert [scan.stem for scan in read_bids(tree, sessions=["ses-a", "b"]).scans] == [
        "sub-02_ses-a_acq-slow",
        "sub-02_ses-b_acq-slow",
    ]
    with pytest.raises(InputError, match="no diffusion scan of sub-03; it has sub-01, sub-02"):
        read_bids(tree, ["03"])
    with pytest.raises(InputError, match="no diffusion scan of ses-a; it has none"):
        read_bids(tree, ["01"], ["a"])


def test_faults(tree: Path) -> None:
    with pytest.raises(InputError, match=r"without dataset_description\.json"):
        read_bids(tree / "sub-01")
    put(tree, "acq-slow_dwi.bval")
    with pytest.raises(
        InputError,
        match=r"acq-slow_dwi\.bval and dwi\.bval both serve sub-02_ses-a_acq-slow_dwi\.nii in "
        r"one folder",
    ):
        read_bids(tree)
    (tree / "acq-slow_dwi.bval").unlink()
    (tree / "dwi.bvec").unlink()
    with pytest.raises(InputError, match=r"sub-01_dwi\.nii\.gz has no \.bvec file"):
        read_bids(tree)
    put(tree, "dwi.bvec")
    for content, words in (("{", "not JSON"), (json.dumps([1]), "not a JSON object")):
        put(tree, "dwi.json", content=content)
        with pytest.raises(InputError, match=rf"dwi\.json is {words}"):
            read_bids(tree)
    empty = tree / "empty"
    put(empty, DESCRIPTION, content="{}")
    with pytest.raises(InputError, match="holds no diffusion scan"):
        read_bids(empty)
