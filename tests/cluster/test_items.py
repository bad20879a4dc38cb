"""Items of folders, patterns, lists and BIDS data sets, and their names."""

from __future__ import annotations

import pytest

from unfog.cluster.items import Item, parts, read_items
from unfog.errors import InputError


@pytest.fixture
def scans(tmp_path):
    for name in ("a/T1.nii.gz", "b/T1.nii.gz", "b/T1.json", "b/.hidden.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_pattern_names_items_by_their_folders(scans):
    items = read_items(f"{scans}/*/*.nii.gz")
    assert [item.name for item in items] == ["a--T1", "b--T1"]
    assert [item.base for item in items] == [f"{scans}/a/T1", f"{scans}/b/T1"]


def test_a_relative_pattern_is_named_alike(scans, monkeypatch):
    monkeypatch.chdir(scans)
    assert [item.name for item in read_items("*/*.nii.gz")] == ["a--T1", "b--T1"]
    assert [item.text for item in read_items("b/*.nii.gz")] == ["b/T1.nii.gz"]


def test_a_list_is_read_from_its_folder(scans):
    (scans / "list.txt").write_text("b/T1.nii.gz\n\na/T1.nii.gz\n")
    assert [item.name for item in read_items(str(scans / "list.txt"))] == ["b--T1", "a--T1"]


def test_a_list_with_a_missing_file_names_its_line(scans):
    (scans / "list.txt").write_text("a/T1.nii.gz\nc/T1.nii.gz\n")
    with pytest.raises(InputError, match="line 2: there is no c/T1"):
        read_items(str(scans / "list.txt"))


def test_two_of_one_name_are_refused(scans):
    with pytest.raises(InputError, match="both be called 'T1'"):
        read_items(str(scans / "b"))


def test_folders_are_items_whole(scans):
    (scans / "a.run").mkdir()
    assert [item.name for item in read_items(str(scans))] == ["a", "a.run", "b"]


def test_subjects_of_a_bids_data_set(scans):
    (scans / "dataset_description.json").write_text("{}")
    for label in ("02", "01"):
        (scans / f"sub-{label}").mkdir()
    assert read_items(str(scans)) == [
        Item("sub-01", str(scans), "01"),
        Item("sub-02", str(scans), "02"),
    ]


def test_nothing_is_refused(tmp_path):
    for source in (tmp_path, tmp_path / "*.nii", tmp_path / "missing"):
        with pytest.raises(InputError, match="no items"):
            read_items(str(source))


def test_parts_are_shards():
    assert [(item.name, item.text) for item in parts(10)][::9] == [
        ("part-01", "1/10"),
        ("part-10", "10/10"),
    ]
