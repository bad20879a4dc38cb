"""Numbers at the ends of float32, headers without a value, files cut in their last bytes, texts
nested deep.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfog.errors import InputError
from unfog.files import json_text, yaml
from unfog.files.bids import read_bids
from unfog.files.nifti import read_nifti
from unfog.files.numpy_files import read_array
from unfog.files.pictures import read_image


def test_an_infinite_slope_is_refused_and_none_is_none(plain: Path) -> None:
    content = plain.read_bytes()
    for slope, words in ((np.inf, "an infinite scl_slope"), (-np.inf, "an infinite scl_slope")):
        plain.write_bytes(content[:112] + struct.pack("<f", slope) + content[116:])
        with pytest.raises(InputError, match=words):
            read_nifti(plain)
    for slope in (np.nan, 0.0):  # the standard's ways to say none
        plain.write_bytes(content[:112] + struct.pack("<f", slope) + content[116:])
        assert read_nifti(plain).data.max() == 119


def test_values_beyond_float32_are_refused(plain: Path, tmp_path: Path) -> None:
    content = plain.read_bytes()
    plain.write_bytes(content[:112] + struct.pack("<f", 3e38) + content[116:])
    with pytest.raises(InputError, match="beyond the largest of float32"):
        read_nifti(plain)
    np.save(tmp_path / "large.npy", np.array([[1.0, 1e300]]))
    with pytest.raises(InputError, match="beyond the largest of float32"):
        read_array(tmp_path / "large.npy")


@pytest.mark.parametrize("lost", range(1, 13))
def test_a_png_cut_in_its_last_bytes_is_refused(tmp_path: Path, lost: int) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    assert read_image(tmp_path / "whole.png").shape == (1, 8, 8)
    (tmp_path / "cut.png").write_bytes(content[:-lost])
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        ("[" * 100_000, "nested more than 64 deep"),
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is beyond"),
        ("[" + "9" * 5000 + "]", "damaged or cut"),
        ('{"a": 1', "damaged or cut"),
        (b"\xff\xfe{", "damaged or cut"),
    ],
)
def test_json_is_read_under_caps(text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=f"A text is not JSON: .*{words}"):
        json_text.parse(text, "A text")


def test_json_brackets_in_texts_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json_text.parse('["' + "[" * 100 + '\\"[", [1]]', "A text")[1] == [1]
    monkeypatch.setattr(json_text, "LARGEST", 10)
    with pytest.raises(InputError, match="longer than 10 bytes"):
        json_text.parse("[1, 2, 3, 4]", "A text")


def test_yaml_nested_deep_is_refused() -> None:
    with pytest.raises(InputError, match="nested more than 64 deep"):
        yaml.parse("[" * 100 + "]" * 100, "A text")


def test_a_bids_sidecar_nested_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"a":' * 3000 + "1" + "}" * 3000)
    with pytest.raises(InputError, match=r"dataset_description\.json is not JSON: it is nested"):
        read_bids(tmp_path)
