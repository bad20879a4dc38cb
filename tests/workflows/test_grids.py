"""Masks and further exposures lie on the input's grid by affine, not by shape alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from unfog.cli.main import app

AFFINE = np.array([[2.0, 0, 0, -30], [0, 2, 0, 10], [0, 0, 3, 5], [0, 0, 0, 1]])
HOLE = np.zeros((8, 8, 2), np.uint8)
HOLE[2:4, 5:7] = 1
COMMANDS = {
    "inpaint": "restore {run} head.nii.gz --task inpaint --noise 0.5 --mask {mask}",
    "edit": "edit {run} head.nii.gz --method sdedit --mask {mask}",
    "lowlight": "restore {run} head.nii.gz --task lowlight --mask {mask}",
    "hdr": "restore {run} head.nii.gz {mask} --task hdr",
}


def moved(*shift: float) -> np.ndarray[Any, Any]:
    affine = AFFINE.copy()
    affine[:3, 3] += shift
    return affine


def turned() -> np.ndarray[Any, Any]:
    """A quarter turn about the middle of a slice, under which shapes stay."""
    affine = AFFINE.copy()
    affine[:3, :2] = AFFINE[:3, [1, 0]] * (1, -1)
    affine[1, 3] += 14
    return affine


ELSEWHERE = {
    "shifted": moved(30, 0, 0),
    "shifted by half a voxel": moved(0, 1, 0),
    "another slice": moved(0, 0, 3),
    "larger voxels": AFFINE @ np.diag([1.25, 1, 1, 1]),
    "thicker slices": AFFINE @ np.diag([1, 1, 1.5, 1]),
    "sheared by a degree a slice": AFFINE + 0.3 * np.eye(4)[:, [3, 3, 1, 3]] * (0, 0, 1, 0),
    "turned": turned(),
}


@pytest.fixture
def place(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a volume of two slices."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).uniform(1, 16, (8, 8, 2))
    save("head", values, AFFINE)
    return run


def save(name: str, data: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> None:
    nib.Nifti1Image(data.astype(np.float32), affine).to_filename(f"{name}.nii.gz")


def told(line: str, out: str = "out") -> tuple[int, str]:
    samples = [] if line.startswith("edit") else ["--samples", "2"]
    result = CliRunner().invoke(app, [*line.split(), "--out", out, "--steps", "2", *samples])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("where", ELSEWHERE)
def test_what_lies_elsewhere_is_refused(place: Path, command: str, where: str) -> None:
    data = HOLE if command != "hdr" else HOLE + np.arange(1, 9)[:, None, None]
    save("other", data, ELSEWHERE[where])
    code, text = told(COMMANDS[command].format(run=place, mask="other.nii.gz"))
    assert code == 2
    assert "other.nii.gz is not on the input's grid (its affine differs)" in text
    assert not Path("out").exists()


def test_a_mask_stored_the_other_way_round_lies_on_the_grid(place: Path) -> None:
    """The same hole, its first axis stored from right to left: the same answer."""
    means = []
    flip = np.array([[-1.0, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    masks = {"same": (HOLE, AFFINE + 1e-5), "flipped": (HOLE[::-1], AFFINE @ flip)}
    for name, (data, affine) in masks.items():
        save(name, data, affine)
        line = COMMANDS["inpaint"].format(run=place, mask=f"{name}.nii.gz")
        code, text = told(line, f"out-{name}")
        assert code == 0, text
        means.append(nib.load(f"out-{name}/mean.nii.gz").get_fdata())
    np.testing.assert_array_equal(*means)


def test_one_slice_of_a_mask_serves_all_where_it_lies_on_them(place: Path) -> None:
    save("one", HOLE[..., :1], moved(0, 0, 3))
    assert told(COMMANDS["edit"].format(run=place, mask="one.nii.gz"))[0] == 0
    save("aside", HOLE[..., :1], moved(4, 0, 0))
    code, text = told(COMMANDS["edit"].format(run=place, mask="aside.nii.gz"), "second")
    assert code == 2
    assert "not on the input's grid" in text
