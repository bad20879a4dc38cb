"""Runs of volumes: samples and restorations larger than in training, and dry runs."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

import unfog
from unfog.core.tiles import Tiled
from unfog.errors import InputError
from unfog.runs.dry_run import Cost, Line, dry_run_system
from unfog.runs.run import Run
from unfog.runs.train import train_system
from unfog.runs.windows import in_windows
from unfog.workflows.restore import restore_file
from unfog.workflows.sample import sample_run
from unfog.workflows.tasks import Draws

SMALL = ["network.channels=8", "network.groups=4", "training.batch=1", "training.steps=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A prior of cubes of 8^3 of a folder of NIfTI volumes."""
    folder = tmp_path_factory.mktemp("volumes")
    generator = np.random.default_rng(0)
    for k in range(2):
        values = generator.random((12, 12, 12)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1])), folder / f"{k}.nii.gz")
    out = folder.parent / f"{folder.name}-run"
    train_system("volume-prior", str(folder), out, [*SMALL, "data.patch=8"])
    return Run.open(out)


@pytest.fixture(scope="module")
def attending(run):
    """The same with attention at the bottom, which sees where in a volume a voxel is."""
    out = run.path.parent / f"{run.path.name}-attending"
    data = str(run.path.parent / run.path.name.removesuffix("-run"))
    settings = [*SMALL, "data.patch=8", "network.middle_attention=true"]
    train_system("volume-prior", data, out, settings)
    return Run.open(out)


def test_larger_volumes_are_taken_in_windows_and_smaller_ones_refused(attending):
    run = attending
    assert run.shape == (1, 8, 8, 8)
    assert in_windows(run, run.denoiser, (8, 8, 8)) is run.denoiser
    tiled = in_windows(run, run.denoiser, (8, 12, 8))
    assert isinstance(tiled, Tiled)
    assert list(tiled.size) == [8, 8, 8]
    with pytest.raises(InputError, match="is smaller than the window of 8 x 8 x 8"):
        run.sample(1, steps=1, shape=(1, 8, 6, 8))


def test_a_local_network_takes_wide_windows_that_differ_little_from_the_whole():
    run = unfog.load("head")
    assert run.denoiser.network.local
    tiled = in_windows(run, run.denoiser, (100, 12, 8))
    assert (list(tiled.size), list(tiled.overlap)) == ([96, 12, 8], [16, 6, 4])
    line = torch.linspace(0, 12, 100).sin()[:, None, None].expand(1, 1, 100, 12, 8) / 2
    t = run.denoiser.process.t_of_noise_level(torch.tensor(0.2))
    x = line + 0.2 * torch.randn(line.shape, generator=torch.manual_seed(0))
    with torch.no_grad():
        whole, parts = run.denoiser(x, t).mean, tiled(x, t).mean
    assert float((whole - line).norm() / line.norm()) < 0.2
    assert float((whole - parts).norm() / line.norm()) < 0.03


def test_pictures_fill_a_canvas_in_windows_where_that_is_asked(tmp_path):
    train_system("edm", "digits", tmp_path / "run", [*SMALL, "network.blocks=1"])
    model = Run.open(tmp_path / "run")
    assert in_windows(model, model.denoiser, (8, 20)) is model.denoiser
    tiled = in_windows(model, model.denoiser, (8, 20), pictures=True)
    assert isinstance(tiled, Tiled)
    sample_run(model.path, 2, tmp_path / "out", steps=2, shape=(12, 20), windows=True, label=3)
    assert np.load(tmp_path / "out" / "samples.npy").shape == (2, 1, 12, 20)
    with pytest.raises(InputError, match="smaller than the window of 8 x 8"):
        sample_run(model.path, 2, tmp_path / "no", steps=2, shape=(4, 20), windows=True)


def test_samples_are_nifti_with_the_training_voxels_around_the_origin(run, tmp_path):
    sample_run(run.path, 1, tmp_path / "out", steps=2, shape=(12, 8, 10))
    image = nib.load(tmp_path / "out" / "sample-0000.nii.gz")
    assert image.shape == (12, 8, 10)
    assert np.allclose(image.header.get_zooms(), 2.0)
    middle = image.affine @ [5.5, 3.5, 4.5, 1]
    assert np.allclose(middle[:3], 0)
    with pytest.raises(InputError, match="3 numbers above 0"):
        sample_run(run.path, 1, tmp_path / "no", steps=1, shape=(12, 8))


def test_a_volume_is_restored_in_windows(attending, tmp_path):
    run = attending
    values = np.random.default_rng(1).random((10, 8, 12)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1])), tmp_path / "v.nii.gz")
    draws = Draws(noise="0.2", samples=2, steps=2)
    restore_file(run.path, [tmp_path / "v.nii.gz"], "denoise", tmp_path / "out", None, draws)
    assert nib.load(tmp_path / "out" / "mean.nii.gz").shape == (10, 8, 12)
    small = np.ones((6, 8, 8), np.float32)
    small[0] = 0
    nib.save(nib.Nifti1Image(small, np.eye(4)), tmp_path / "s.nii.gz")
    with pytest.raises(InputError, match="is smaller than the window"):
        restore_file(run.path, [tmp_path / "s.nii.gz"], "denoise", tmp_path / "no", None, draws)


def test_a_dry_run_measures_one_step_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = dry_run_system("edm", "digits", ["training.batch=8"])
    assert found["batch"] == [8, 1, 8, 8]
    assert found["by"] == "measured on one step"
    assert found["fits"]
    assert found["seconds a step"] > 0
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_what_does_not_fit_says_what_would(monkeypatch):
    from unfog.runs import dry_run

    monkeypatch.setattr(dry_run, "available", lambda: -(1 << 36))
    settings = ["data.dims=3", "data.size=16", "data.patch=16", "data.split=test", *SMALL]
    found = dry_run_system("volume-prior", "random-field", settings)
    assert found["by"] == "estimated from smaller steps"
    assert not found["fits"]
    assert found["what would fit"] == ["a smaller network: --set network.channels=N"]


def test_memory_is_foretold_along_a_line():
    line = Line.through(Cost(100, 5e6, 1.0), Cost(300, 9e6, 3.0))
    assert (line.peak(100), line.peak(500)) == (5e6, 13e6)
    assert line.points(7e6) == 200
    assert line.seconds * 500 == pytest.approx(5.0)
