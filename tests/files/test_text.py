"""Text files with a byte order mark are read as those without."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from unfog.dmri.gradient_files import read_mrtrix
from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.bids import DESCRIPTION, read_bids
from unfog.files.text import read_text

MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",  # Python writes this mark itself
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


@pytest.fixture(params=MARKED)
def put(request: pytest.FixtureRequest):
    """Writes a text as an editor would, behind its mark."""

    def write(path: Path, text: str) -> Path:
        path.write_bytes(MARKED[request.param] + text.encode(request.param))
        return path

    return write


def test_marks_are_no_text(tmp_path: Path, put) -> None:
    text = "Größe: 3 µm\r\n"
    assert read_text(put(tmp_path / "a.txt", text)) == text


def test_every_kind_of_text_file(tmp_path: Path, put) -> None:
    assert yaml.read(put(tmp_path / "a.yaml", "name: blur\nwidth: 2\n")) == {
        "name": "blur",
        "width": 2,
    }
    table = read_mrtrix(put(tmp_path / "a.b", "0 0 0 0\n1 0 0 1000\n"), 2)
    assert table.bvals.tolist() == [0, 1000]
    folder = tmp_path / "sub-1" / "dwi"
    folder.mkdir(parents=True)
    put(tmp_path / DESCRIPTION, json.dumps({"Name": "é"}))
    for kind in ("nii", "bval", "bvec"):
        (folder / f"sub-1_dwi.{kind}").touch()
    put(folder / "sub-1_dwi.json", '{"EchoTime": 0.08}')
    found = read_bids(tmp_path)
    assert found.description["Name"] == "é"
    assert found.scans[0].sidecar == {"EchoTime": 0.08}


def test_what_is_no_text_is_still_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfea")  # UTF-16's mark and half a letter
    with pytest.raises(InputError, match="cannot be read as text"):
        yaml.read(tmp_path / "a.yaml")
