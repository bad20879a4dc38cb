"""Captions of columns of a table, of BIDS participants and of DICOM attributes; what names a
patient goes no further.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.dicom_files import NAME, headers, write

from unfog.data import open_dataset
from unfog.data.caption_columns import joined
from unfog.errors import InputError
from unfog.files.nifti import new_volume, write_nifti
from unfog.runs.train import configure

TABLE = (
    "participant_id\tdiagnosis\tsex\tage\nsub-01\tAD\tF\t71\nsub-02\tCN\tM\tn/a\n"
    "sub-03\tn/a\tF\t60\n"
)
SUBJECTS = ("sub-01", "sub-02")


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Two subjects with a volume (6, 5, 4) each; the second one's is four times as bright."""
    root = tmp_path / "set"
    x = np.arange(120, dtype=np.float32).reshape(6, 5, 4) + 1
    for place, label in enumerate(SUBJECTS):
        path = root / label / "anat" / f"{label}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        write_nifti(path, x if place == 0 else x[::-1].copy(), new_volume(x, np.eye(4)))
    (root / "participants.tsv").write_text(TABLE, "utf-8")
    return root


def test_several_columns_are_one_sentence() -> None:
    row = {"diagnosis": "AD", "sex": " F ", "age": "n/a"}
    assert joined(row, ["diagnosis", "sex", "age"]) == "diagnosis: AD, sex: F"
    assert joined(row, ["sex"]) == "F"
    assert joined(row, ["age"]) == ""


@pytest.mark.parametrize("dims", [2, 3])
def test_volumes_have_the_captions_of_their_participants(bids: Path, dims: int) -> None:
    data = open_dataset(bids, dims=dims, caption_column=["diagnosis", "sex"])
    texts = ("diagnosis: AD, sex: F", "diagnosis: CN, sex: M")
    each = len(data) // 2
    assert data.captions == tuple(text for text in texts for _ in range(each))
    table = str(bids / "participants.tsv")
    one = open_dataset(bids, dims=dims, captions=table, caption_column="diagnosis")
    assert one.captions == tuple(text for text in ("AD", "CN") for _ in range(each))
    assert len({one.fingerprint, data.fingerprint, open_dataset(bids, dims=dims).fingerprint}) == 3


def test_cubes_have_the_caption_of_their_volume(bids: Path) -> None:
    data = open_dataset(bids, patch=4, caption_column="sex", least=0.0)
    assert data.captions is not None
    assert len(data.captions) == len(data)
    assert data.captions == ("F",) * (len(data) // 2) + ("M",) * (len(data) // 2)


def test_volumes_have_the_captions_of_a_table_of_files(bids: Path) -> None:
    lines = [f"{label}/anat/{label}_T1w.nii.gz,a head {k}" for k, label in enumerate(SUBJECTS)]
    (bids / "captions.csv").write_text("\n".join(["file_name,text", *lines]), "utf-8")
    assert open_dataset(bids, dims=3, captions=True).captions == ("a head 0", "a head 1")


def test_pictures_have_captions_of_columns(tmp_path: Path) -> None:
    for place, name in enumerate(("a.png", "b.png")):
        Image.fromarray(np.full((4, 4), place, np.uint8)).save(tmp_path / name)
    (tmp_path / "metadata.csv").write_text(
        "file_name,stain,organ\na.png,HE,liver\nb.png,PAS,skin\n"
    )
    data = open_dataset(tmp_path, caption_column=["stain", "organ"])
    assert data.captions == ("stain: HE, organ: liver", "stain: PAS, organ: skin")


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"caption_column": "diagnose"}, None, "has no column diagnose; it has: participant_id"),
        ({"caption_column": "participant_id"}, None, "may say who someone is"),
        ({"caption_column": "BirthDate"}, None, "may say who someone is"),
        ({"caption_column": "sex"}, ("sub-02", "sub-04"), "no row for sub-02_T1w.nii.gz"),
        ({"caption_column": "sex"}, ("sub-02", "sub-01"), "names sub-01 twice"),
        ({"caption_column": "sex"}, ("sub-02", ""), "Entry 2 of participants.tsv lacks"),
        ({"caption_column": "age"}, None, "says nothing of sub-02_T1w.nii.gz in age"),
        ({"captions": True}, None, "names of scans may name a patient"),
        ({"captions": "gone.tsv", "caption_column": "sex"}, None, "no table of captions gone.tsv"),
    ],
)
def test_bad_columns_are_one_sentence(
    bids: Path, options: dict[str, Any], change: tuple[str, str] | None, message: str
) -> None:
    if change is not None:
        (bids / "participants.tsv").write_text(TABLE.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(bids, dims=3, **options)
    assert "\n" not in str(caught.value)


def test_without_a_table_a_column_is_refused(bids: Path) -> None:
    (bids / "participants.tsv").unlink()
    with pytest.raises(InputError, match=r"no table with a column sex; put participants\.tsv"):
        open_dataset(bids, dims=3, caption_column="sex")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two DICOM series in folders of their own."""
    for place, (label, words) in enumerate((("sub-01", "T1 axial"), ("sub-02", "T2 FLAIR"))):
        slices = headers(np.eye(3)[:2], np.array([0.0, 0, 2.5]))
        for one in slices:
            one.SeriesDescription, one.ProtocolName = words, f"protocol {place}"
            one.BodyPartExamined, one.EchoTime = "HEAD", 20 + place
            one.StudyInstanceUID = f"1.2.{place}"
        write(tmp_path / "scans" / label, slices)
    return tmp_path / "scans"


def test_series_have_the_captions_of_their_attributes(series: Path) -> None:
    data = open_dataset(series, dims=3, caption_column="SeriesDescription")
    assert data.captions == ("T1 axial", "T2 FLAIR")
    data = open_dataset(series, dims=2, axis=2, least=0.0, caption_column=["EchoTime", "Modality"])
    assert data.captions is not None
    assert len(data.captions) == len(data)
    assert data.captions[0] == "EchoTime: 20, Modality: MR"
    assert data.captions[-1] == "EchoTime: 21, Modality: MR"


def test_series_have_the_captions_of_a_table(series: Path, tmp_path: Path) -> None:
    (series / "participants.tsv").write_text(TABLE)
    table = str(series / "participants.tsv")
    data = open_dataset(series, dims=3, captions=table, caption_column="diagnosis")
    assert data.captions == ("AD", "CN")
    (series / "captions.csv").write_text("file_name,text\nsub-01,one head\nsub-02,another\n")
    assert open_dataset(series, dims=3, captions=True).captions == ("one head", "another")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("PatientName", "PatientName is no attribute of DICOM that is read into a caption"),
        ("PatientID", "PatientID is no attribute"),
        ("PatientBirthDate", "PatientBirthDate is no attribute"),
        ("AccessionNumber", "AccessionNumber is no attribute"),
        ("ImageComments", "ImageComments is no attribute"),
        ("StudyDescription", "The StudyDescription of im0 holds a name or number of a person"),
        ("KVP", "The series of im0 has no KVP"),
    ],
)
def test_what_names_a_patient_goes_no_further(series: Path, column: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(series, dims=3, caption_column=column)
    for word in (*NAME.split("^"), "0815", "19700101"):
        assert word not in str(caught.value)


def test_names_of_folders_are_no_captions_of_series(series: Path) -> None:
    with pytest.raises(InputError, match="names of scans may name a patient"):
        open_dataset(series, dims=3, captions=True)


def test_a_recipe_is_told_the_words_of_volumes(bids: Path) -> None:
    data = open_dataset(bids, dims=3, size=8, caption_column=["diagnosis", "sex"])
    config = configure("text-to-image", data, {"name": "nifti"}, ["text.name=bytes"])
    assert config["conditions"]["text"]["name"] == "bytes"
    assert config["network"]["dims"] == 3
