"""Roles in place of names of inputs: whole names, in texts and pages, and nothing that only looks
like one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unfog.files.names import Roles, keep_names


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    keep_names(False)


def test_names_become_roles_and_words_stay(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "Doe & Co.dcm").write_bytes(b"")
    roles = Roles([Path("a/mean.nii.gz"), None, tmp_path / "noise"])
    summary = {
        "input": "noise",
        "files": ["mean.nii.gz"],  # what is written, under a name that the input has too
        "warnings": ["mean.nii.gz has 3 voxels", "the noise of Doe & Co.dcm."],
        "other": ["remean.nii.gz", 3, None],
    }
    assert roles.hide(summary) == {
        "input": "input 2",
        "files": ["mean.nii.gz"],
        "warnings": ["input 1 has 3 voxels", "the noise of input 2."],
        "other": ["remean.nii.gz", 3, None],
    }
    assert roles.hide_in_page("<p>Doe &amp; Co.dcm</p>") == "<p>input 2</p>"


def test_names_are_kept_where_that_is_asked_for() -> None:
    keep_names(True)
    assert Roles([Path("Doe.nii")]).hide({"input": "Doe.nii"}) == {"input": "Doe.nii"}


def test_without_inputs_nothing_changes() -> None:
    assert Roles([Path()]).hide("a . b") == "a . b"
