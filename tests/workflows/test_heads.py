"""Scans of heads: which prior is chosen, what it is told, what is refused, thick slices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

import unfog
from unfog.errors import InputError
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.runs.run import Run
from unfog.workflows import choose
from unfog.workflows.choose import chosen_prior
from unfog.workflows.tasks import TASKS


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of patches of 16 voxels, trained for three steps."""
    out = tmp_path_factory.mktemp("heads") / "run"
    data = unfog.data.open_dataset({"name": "synthetic-heads", "size": 48, "count": 2, "patch": 16})
    settings = {"network.channels": 8, "training.lr": 0.05, "training.warmup": 0}
    unfog.train("head-prior", data, out, steps=3, settings=settings)
    return out


def scan(path: Path, shape: tuple[int, ...], sides: tuple[float, ...], low: float = 0) -> Path:
    values = np.random.default_rng(0).uniform(low, 100, shape).astype(np.float32)
    return write_nifti(path, values, new_volume(values, np.diag([*sides, 1.0])))


def test_a_prior_is_chosen_by_what_the_scan_is(tmp_path, monkeypatch) -> None:
    head = scan(tmp_path / "t2.nii", (40, 40, 40), (1, 1, 1))
    ct = scan(tmp_path / "ct.nii", (40, 40, 40), (1, 1, 1), -1000)
    thin = scan(tmp_path / "slices.nii", (40, 40, 5), (1, 1, 6))
    monkeypatch.setattr(choose, "priors", lambda: ["head", "t1-slices"])
    assert [chosen_prior(path)[0] for path in (head, ct, thin)] == ["head", "head-ct", "t1-slices"]
    assert "5 planes" in chosen_prior(thin)[1]
    monkeypatch.setattr(choose, "priors", lambda: ["t1-slices"])
    assert chosen_prior(head)[0] == "t1-slices"
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 8), np.float32))
    with pytest.raises(InputError, match="name a prior"):
        chosen_prior(tmp_path / "a.npy")


def test_known_voxels_are_told_and_a_caller_may_say_otherwise(prior: Path) -> None:
    run = Run.open(prior)
    voxel = torch.tensor([[0.0, 0.7, -0.3]])
    x, t = torch.randn(2, 1, 16, 16, 16), torch.tensor(0.02)
    plain, told = (r.denoiser(x, t).mean for r in (run, run.told(voxel=voxel)))
    said = run.denoiser(x, t, voxel=voxel.expand(2, 3)).mean
    assert torch.equal(told, said)
    assert not torch.equal(told, plain)
    none = run.told(voxel=-voxel).denoiser(x, t, voxel=voxel.expand(2, 3)).mean
    assert torch.equal(none, said)
    with pytest.raises(InputError, match="no condition 'height'"):
        run.told(height=voxel).denoiser(x, t)


def test_denoising_says_the_misfit_by_detail_and_maps_it(prior: Path, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii", (16, 20, 18), (1, 1, 1.5))
    line = f"restore {prior} {path} --task denoise --noise 20 --samples 2 --steps 2"
    status, out, err = invoke(f"{line} --out {tmp_path / 'out'}")
    assert status == 0, out + err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["misfit by detail"]) == {"fine", "medium", "coarse"}
    local = read_nifti(tmp_path / "out" / "misfit.nii.gz").data
    assert local.shape == (16, 20, 18)
    assert np.mean(local > 1.25) == pytest.approx(summary["misfit above 1.25"], abs=1e-3)


def test_the_prior_may_be_asked_for_the_noise(prior: Path, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii", (16, 16, 16), (1, 1, 1))
    line = f"restore {prior} {path} --noise prior --samples 2 --steps 1"
    status, out, err = invoke(f"{line} --task denoise --out {tmp_path / 'out'}")
    assert status == 0, out + err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["noise estimated"]
    assert summary["noise"] > 0
    status, out, err = invoke(f"{line} --task slices --out {tmp_path / 'no'}")
    assert status == 2
    assert "--task denoise alone" in " ".join((out + err).split())


def test_thick_slices_are_restored_along_the_axis_of_longest_voxels(prior, tmp_path) -> None:
    path = scan(tmp_path / "thick.nii", (16, 8, 16), (1, 3, 1))
    line = f"restore {prior} {path} --task slices --factor 3 --noise 5 --samples 2 --steps 2"
    status, out, err = invoke(f"{line} --out {tmp_path / 'out'}")
    assert status == 0, out + err
    mean = read_nifti(tmp_path / "out" / "mean.nii.gz")
    assert mean.data.shape == (16, 24, 16)
    assert np.allclose(mean.zooms[:3], (1, 1, 1))
    # The task's own way, but for what is asked.
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [summary[key] for key in ("method", "sampler", "steps")] == ["diffpir", "ddpm", 2]
    assert TASKS["slices"].chosen("mmps", None, None) == ("mmps", None, None)
    assert TASKS["slices"].chosen("auto", None, None) == ("diffpir", "ddpm", 40)
    assert TASKS["deblur"].chosen("auto", "heun", 3) == ("auto", "heun", 3)


@pytest.mark.parametrize(
    ("shape", "low", "match"),
    [((16, 16, 16), -1000, "take head-ct"), ((4, 40, 4), 0, "8 voxels or more in the plane")],
)
def test_what_cannot_be_right_is_refused(prior, tmp_path, shape, low, match) -> None:
    path = scan(tmp_path / "bad.nii", shape, (1, 1, 1), low)
    status, out, err = invoke(f"restore {prior} {path} --task denoise --out {tmp_path / 'out'}")
    assert status == 2
    assert match in " ".join((out + err).split())
    assert not (tmp_path / "out").exists()


def test_slices_need_a_prior_of_volumes(tmp_path: Path) -> None:
    path = scan(tmp_path / "thick.nii", (16, 16, 8), (1, 1, 3))
    status, out, err = invoke(f"restore t1-slices {path} --task slices --out {tmp_path / 'out'}")
    assert status == 2
    assert "prior of volumes" in " ".join((out + err).split())
