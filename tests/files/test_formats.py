"""The one table of file formats: what is read comes back, and samples go where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unfog.data.dataset import kind_of
from unfog.errors import InputError
from unfog.files.formats import eight_bits, format_for, format_of, formats, read_scan
from unfog.files.output import write_image
from unfog.files.scans import Look

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "name", "suffix"),
    [
        ((1, 6, 7, 8), "nifti", ".nii.gz"),
        ((1, 6, 7), "png", ".png"),
        ((3, 6, 7), "png", ".png"),
        ((2, 6, 7), "npy", None),
        ((1, 40), "npy", None),
        ((2, 4, 5, 6), "npy", None),
    ],
)
def test_samples_come_back_as_they_were_written(tmp_path: Path, shape, name, suffix):
    """Volumes to the last bit, pictures to half a grey level; the rest is in samples.npy alone."""
    x = RNG.random((3, *shape), dtype=np.float32)
    chosen = format_for(shape)
    assert chosen.name == name
    chosen.write(tmp_path, x, Look(0.0, 1.0, (2.0, 2.0, 2.0)))
    files = sorted(tmp_path.glob("sample-*"))
    assert len(files) == (0 if suffix is None else 3)
    for file, sample in zip(files, x, strict=False):
        assert file.name.endswith(suffix)
        scan = read_scan(file, len(shape) - 1, shape[0])
        top = 255 if name == "png" else 1
        assert np.allclose(scan.values[0] / top, sample, atol=0.5 / 255 if top > 1 else 0)
        facts = chosen.describe(file)
        assert {"kind", "shape", "smallest", "largest"} <= set(facts)


def test_a_name_chooses_the_format_whatever_the_shape():
    assert format_for((1, 6, 7), "npy").name == "npy"
    assert len({one.name for one in formats}) == len(formats)
    assert all(one.keeps for one in formats)


def test_pictures_are_the_range_of_the_data():
    x = np.array([[[[-1.0, 0.0, 1.0, 9.0]]]], np.float32)
    assert eight_bits(x, Look(-1, 1)).tolist() == [[[0, 128, 255, 255]]]


def test_the_data_set_of_a_path_is_that_of_its_format(tmp_path: Path):
    write_image(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert kind_of(tmp_path) == kind_of(tmp_path / "a.png") == "images"
    (tmp_path / "scan.nii.gz").touch()
    assert kind_of(tmp_path) == "nifti"  # wins over pictures beside it
    for kind in ("npy", "npz"):
        (tmp_path / f"x.{kind}").touch()
        assert kind_of(tmp_path / f"x.{kind}") == "arrays"


@pytest.mark.parametrize(("name", "words"), [("notes.txt", "no known type"), ("no.npy", "no file")])
def test_other_files_are_refused(tmp_path: Path, name, words):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=words) as error:
        format_of(tmp_path / name)
    # Modalities add formats of their own between these.
    assert "a .nii, .nii.gz, .png" in str(error.value)
    assert "or .npy file, or a DICOM series" in str(error.value)
