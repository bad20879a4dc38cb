"""Dot entries, which macOS, Jupyter and others leave in folders, are no data anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfog.data import open_dataset
from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION, read_bids
from unfog.files.listing import files_below
from unfog.files.nifti import new_volume, write_nifti

APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200)
# Folders that systems, editors and version control hide: each would be a class of its own.
HIDDEN = (".ipynb_checkpoints", ".Trashes", ".thumbnails", ".git/annex/objects")


def pictures(folder: Path) -> Path:
    """Two classes of one picture, and a hidden copy in every place where one may lie."""
    for k, name in enumerate("ab"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((6, 5), 50 + k, np.uint8)).save(folder / name / "1.png")
        (folder / name / "._1.png").write_bytes(APPLE)
    for name in HIDDEN:
        for place in (folder / name, folder / "a" / name):
            place.mkdir(parents=True)
            Image.fromarray(np.full((9, 9), 200, np.uint8)).save(place / "1.png")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folder


def test_hidden_pictures_are_neither_samples_nor_classes(tmp_path: Path) -> None:
    plain = open_dataset({"name": "images", "path": str(pictures(tmp_path / "x")), "label": True})
    assert (plain.classes, plain.batch([0, 1])["label"].tolist()) == (("a", "b"), [0, 1])
    assert plain.batch([0, 1])["x"].unique().tolist() == [50, 51]


def test_a_folder_below_a_hidden_one_is_read(tmp_path: Path) -> None:
    folder = pictures(tmp_path / ".cache" / "data")
    assert len(open_dataset(folder)) == 2
    assert [file.name for file in files_below(folder)] == ["1.png", "1.png"]


def test_hidden_volumes_are_not_read(tmp_path: Path) -> None:
    for k in range(2):
        data = np.full((4, 5, 3), k + 1.0, np.float32)
        data[0] = 0
        write_nifti(tmp_path / f"{k}.nii.gz", data, new_volume(data, np.eye(4)))
        (tmp_path / f"._{k}.nii.gz").write_bytes(APPLE)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "0-checkpoint.nii").write_bytes(APPLE)
    data = open_dataset(tmp_path)
    assert (data.name, len(data)) == ("nifti", 6)


def test_hidden_dicom_files_are_no_series(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from support.dicom_files import headers, write

    from unfog.files.dicom import read_dicom

    axes = np.eye(3)[:2]
    step = np.array([0, 0, 2.5])
    write(tmp_path, headers(axes, step))
    for name in (".Trashes", ".ipynb_checkpoints"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, headers(axes, step, count=3))
    assert read_dicom(tmp_path).data.shape == (6, 4, 5)


def test_hidden_scans_and_tables_of_a_bids_data_set_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "dwi"
    folder.mkdir(parents=True)
    (tmp_path / DESCRIPTION).write_text("{}")
    for kind in ("nii.gz", "bval", "bvec", "json"):
        (folder / f"sub-01_dwi.{kind}").write_text("{}")
        (folder / f"._sub-01_dwi.{kind}").write_bytes(APPLE)
        (tmp_path / f"._dwi.{kind}").write_bytes(APPLE)
    (hidden := tmp_path / "sub-02" / ".ipynb_checkpoints" / "dwi").mkdir(parents=True)
    (hidden / "sub-02_dwi.nii.gz").write_bytes(APPLE)
    assert [scan.path.name for scan in read_bids(tmp_path).scans] == ["sub-01_dwi.nii.gz"]


@pytest.mark.parametrize("name", ["images", "nifti", "dicom"])
def test_a_path_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"There is no file or folder .*nowhere"):
        open_dataset({"name": name, "path": str(tmp_path / "nowhere")})
