"""``unfog restore --task shading`` from files: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.commands import invoke

from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.shading import GRID, unshade

SHORT = "--task shading --samples 2 --steps 3 --noise 0.5 --out out"


@pytest.fixture
def place(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a volume of two slices and an empty one, shaded from left to right."""
    monkeypatch.chdir(tmp_path)
    values = (
        np.random.default_rng(0).uniform(1, 16, (8, 8, 3)) * np.linspace(0.7, 1.3, 8)[:, None, None]
    )
    values[..., 2] = 0
    affine = np.diag([2.0, 2, 3, 1])
    nib.Nifti1Image(values.astype(np.float32), affine).to_filename("head.nii.gz")
    np.save("negative.npy", (values[..., 0] - 16).astype(np.float32))
    np.save("complex.npy", values[..., 0].astype(np.complex64))
    np.save("empty.npy", np.zeros((8, 8), np.float32))
    return run


def test_images_and_gains_are_written_on_the_grid_of_the_file(place: Path) -> None:
    code, _, told = invoke(f"restore {place} head.nii.gz {SHORT}")
    assert code == 0, told
    summary = json.loads(Path("out/summary.json").read_text())
    names = ["mean", "std", "sample-00", "sample-01", "gain", "gain-std"]
    assert summary["files"] == [f"{name}.nii.gz" for name in names]
    assert "gain" in Path("out/report.html").read_text()
    given, *found = (nib.load(f"{n}.nii.gz") for n in ("head", *(f"out/{n}" for n in names)))
    for image in found:
        assert image.shape == given.shape
        np.testing.assert_allclose(image.affine, given.affine)
    mean, _, _, _, gain, spread = (image.get_fdata() for image in found)
    assert (gain > 0).all()
    assert spread[..., :2].min() > 0
    assert mean[..., 2].max() == 0
    assert (gain[..., 2] == 1).all()
    assert abs(np.log(gain[..., :2]).mean()) < 1e-4
    assert summary["gain"]["largest"] == pytest.approx(gain.max(), rel=1e-5)


def test_a_draw_times_its_gain_is_what_was_measured(place: Path) -> None:
    """Their scale is shared so that the file's gain has mean logarithm 0; and a draw does not
    depend on which others there are.
    """
    run = Run.open(place)
    y = 1 + 15 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = y * torch.linspace(0.7, 1.3, 8)
    plan = Plan.of(run, "ddpm", 5, GRID)
    found = unshade(run, y, 0.5, samples=2, plan=plan)
    assert float(found.gains.log().mean()) == pytest.approx(0, abs=1e-5)
    left = y[:, None] - found.gains * found.restored.samples
    assert float(left.square().mean().sqrt()) / 0.5 == pytest.approx(found.residual, rel=1e-3)
    assert found.residual < 2
    slope = found.gain[..., 7].mean() / found.gain[..., 0].mean()
    assert slope > 1.2  # the measured one rises by 1.3 / .7
    one = unshade(run, y[:1], 0.5, samples=2, batch=2, plan=plan)
    ratio = one.gains / found.gains[:1]
    assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{run} negative.npy", "negative.npy reaches down to"),
        ("{run} complex.npy", "complex.npy"),
        ("{run} empty.npy", "empty"),
        ("auto head.nii.gz", "such as t1-slices"),
        ("{run} head.nii.gz --noise prior", "not 'prior'"),
        ("{run} head.nii.gz --samples 1", "at least 2"),
        ("{run} head.nii.gz --to label=3", "--to"),
    ],
)
def test_refused_in_one_sentence(place: Path, line: str, words: str) -> None:
    code, _, told = invoke(f"restore {SHORT} {line.format(run=place)}")
    assert (code, told.count("\n")) == (2, 1), told
    assert words in told
    assert not Path("out").exists()
