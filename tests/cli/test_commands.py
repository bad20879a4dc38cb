"""The commands end to end, on a run of two steps and files of a few voxels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.files.formats import format_for
from unfog.files.scans import Look
from unfog.training.guard import Interrupted

AFFINE = np.array(
    [[-2.0, 0, 0, 30], [0, 0, 3.0, -20], [0, 2.0, 0, 10], [0, 0, 0, 1]]
)  # axes not in the usual order


def call(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def digit(path: Path, size: int = 8) -> Path:
    Image.fromarray(
        (np.arange(size * size) * 255 // (size * size)).astype(np.uint8).reshape(size, size)
    ).save(path)
    return path


def volume(path: Path, shape: tuple[int, int, int] = (8, 3, 8)) -> Path:
    data = np.random.default_rng(0).uniform(100, 900, shape).astype(np.float32)
    image = nib.Nifti1Image(data, AFFINE)  # type: ignore[no-untyped-call]
    image.header["descrip"] = b"a name"
    nib.save(image, path)
    return path


def test_sample_writes_pictures_a_sheet_and_numbers_that_depend_on_the_seed_alone(
    run: Path, tmp_path: Path
) -> None:
    call("sample", run, "-n", 3, "--steps", 2, "--seed", 7, "--out", tmp_path / "three")
    call("sample", run, "-n", 1, "--steps", 2, "--seed", 7, "--out", tmp_path / "one")
    three, one = np.load(tmp_path / "three/samples.npy"), np.load(tmp_path / "one/samples.npy")
    assert three.shape == (3, 1, 8, 8)
    np.testing.assert_allclose(three[:1], one, atol=1e-4)
    assert sorted(p.name for p in (tmp_path / "three").glob("*.png")) == [
        "contact-sheet.png",
        *(f"sample-000{k}.png" for k in range(3)),
    ]
    assert Image.open(tmp_path / "three/contact-sheet.png").size == (22, 22)


def test_a_class_and_guidance_change_the_samples(run: Path, tmp_path: Path) -> None:
    for name, options in {
        "plain": [],
        "class": ["--class", 3],
        "guided": ["--class", 3, "--guidance", 3],
    }.items():
        call("sample", run, "-n", 1, "--steps", 2, *options, "--out", tmp_path / name)
    plain, chosen, guided = (
        np.load(tmp_path / name / "samples.npy") for name in ("plain", "class", "guided")
    )
    assert np.abs(plain - chosen).max() > 0
    assert np.abs(guided - chosen).max() > 0


@pytest.mark.parametrize("task", ["denoise", "superres", "deblur"])
def test_a_picture_comes_back_as_pictures(run: Path, tmp_path: Path, task: str) -> None:
    source = digit(tmp_path / "in.png", 4 if task == "superres" else 8)
    options = {"superres": ["--factor", 2], "deblur": ["--blur", 0.8, "--method", "diffpir"]}.get(
        task, []
    )
    found = call(
        "restore",
        run,
        source,
        "--task",
        task,
        *options,
        "--samples",
        2,
        "--steps",
        2,
        "--out",
        tmp_path / "out",
    )
    misfit = ["misfit.png"] if task == "denoise" else []  # the fit is seen where all is measured
    files = ["mean.png", "std.png", "sample-00.png", "sample-01.png", *misfit]
    assert sorted(found["files"]) == sorted(files)
    assert Image.open(tmp_path / "out/mean.png").size == (8, 8)
    assert json.loads((tmp_path / "out/summary.json").read_text())["task"] == task


def test_inpainting_keeps_what_was_measured(run: Path, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[3:5] = 1
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "in.npy", np.full((8, 8), 8.0))
    options = [
        "--task",
        "inpaint",
        "--mask",
        tmp_path / "mask.npy",
        "--noise",
        0.1,
        "--samples",
        2,
        "--steps",
        20,
    ]
    call("restore", run, tmp_path / "in.npy", *options, "--out", tmp_path / "out")
    mean, std = np.load(tmp_path / "out/mean.npy"), np.load(tmp_path / "out/std.npy")
    assert mean.shape == (8, 8)
    assert np.abs(mean - 8)[mask == 0].mean() < 1
    assert std[mask == 1].mean() > std[mask == 0].mean()


def test_a_volume_keeps_its_grid_and_loses_its_free_text(run: Path, tmp_path: Path) -> None:
    source = volume(tmp_path / "in.nii.gz")
    options = ["--task", "denoise", "--noise", 50, "--samples", 2, "--steps", 2]
    found = call("restore", run, source, *options, "--out", tmp_path / "out")
    mean: Any = nib.load(tmp_path / "out/mean.nii.gz")
    np.testing.assert_array_equal(mean.affine, AFFINE)
    assert mean.shape == (8, 3, 8)
    assert mean.header["descrip"].tobytes().strip(b"\0") == b""
    assert found["noise"] == pytest.approx(50)
    # Nearly no noise: the volume comes back where it was, whatever the order of its axes.
    call(
        "restore",
        run,
        source,
        "--task",
        "denoise",
        "--noise",
        1e-6,
        "--samples",
        2,
        "--steps",
        10,
        "--out",
        tmp_path / "same",
    )
    same: Any = nib.load(tmp_path / "same/mean.nii.gz")
    before: Any = nib.load(source)
    assert np.corrcoef(same.get_fdata().ravel(), before.get_fdata().ravel())[0, 1] > 0.99


def test_a_finer_volume_covers_the_same_space(run: Path, tmp_path: Path) -> None:
    source = volume(tmp_path / "in.nii", (4, 3, 4))
    options = ["--task", "superres", "--factor", 2, "--noise", 1, "--samples", 2, "--steps", 2]
    call("restore", run, source, *options, "--out", tmp_path / "out")
    before: Any = nib.load(source)
    after: Any = nib.load(tmp_path / "out/mean.nii.gz")

    def corners(image: Any) -> np.ndarray[Any, Any]:
        ends = [
            image.affine @ [*(n * k - 0.5 for n, k in zip(image.shape, choice, strict=True)), 1]
            for choice in np.ndindex(2, 2, 2)
        ]
        return np.stack([np.min(ends, 0), np.max(ends, 0)])

    np.testing.assert_allclose(corners(after), corners(before), atol=1e-4)
    assert int(np.prod(after.shape)) == 4 * int(np.prod(before.shape))


def test_inspect_verifies_a_run_and_reads_files(run: Path, tmp_path: Path) -> None:
    found = call("inspect", run)
    assert (found["system"], found["step"], found["checkpoints"]) == (
        "edm",
        2,
        {"step-00000002": "verified"},
    )
    assert found["parameters"] > 0
    facts = call("inspect", volume(tmp_path / "v.nii.gz"))
    assert facts["shape"] == [8, 3, 8]
    assert facts["affine"] == AFFINE.tolist()
    assert call("inspect", digit(tmp_path / "d.png"))["shape"] == [1, 8, 8]


def test_train_resumes(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    assert (
        call(
            "train", "edm", "--data", "digits", "--out", tmp_path / "run", "--resume", "--steps", 3
        )["step"]
        == 3
    )


def test_weights_are_averaged_after_training(tmp_path: Path) -> None:
    short = [
        "--set",
        "training.batch=4",
        "--set",
        "network.channels=8",
        "--set",
        "network.groups=4",
        "--set",
        "training.snapshot_every=1",
    ]
    call("train", "edm", "--data", "digits", "--out", tmp_path / "run", "--steps", 2, *short)
    found = call("ema", tmp_path / "run", "--length", 0.08, "--out", tmp_path / "longer")
    assert (found["length"], found["updates"], found["averages used"]) == (0.08, 2, 4)
    assert call("inspect", tmp_path / "longer")["weights"] == "verified"


def test_distill_makes_a_run_that_samples(run: Path, tmp_path: Path) -> None:
    found = call(
        "distill", run, "--steps", 3, "--out", tmp_path / "few", "--set", "training.steps=1"
    )
    assert (found["teacher"], found["sampling steps"], found["step"]) == ("digits", 3, 1)
    drawn = call("sample", tmp_path / "few", "-n", 2, "--out", tmp_path / "samples")
    assert (drawn["steps"], drawn["sampler"]["name"]) == (3, "consistency")
    assert call("inspect", tmp_path / "few")["system"] == "distilled"
    source = str(digit(tmp_path / "in.png"))
    refused = CliRunner().invoke(
        app,
        [
            "restore",
            str(tmp_path / "few"),
            source,
            "--task",
            "denoise",
            "--out",
            str(tmp_path / "out"),
        ],
    )
    assert refused.exit_code == 2
    assert "cannot restore" in refused.stderr


def test_an_interrupted_training_exits_with_the_signals_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted(143, 1)

    monkeypatch.setattr("unfog.workflows.train.train_system", interrupted)
    result = CliRunner().invoke(
        app, ["train", "edm", "--data", "digits", "--out", str(tmp_path / "x")]
    )
    assert result.exit_code == 143
    assert result.stderr == "unfog: stopped: nothing is saved yet; give the same command again\n"


def test_volumes_are_sampled_as_nifti(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 1, 3, 4, 5), dtype=np.float32)
    format_for(x.shape[1:]).write(tmp_path, x, Look(0, 1))
    assert [nib.load(path).shape for path in sorted(tmp_path.iterdir())] == [(3, 4, 5)] * 2  # type: ignore[attr-defined]
