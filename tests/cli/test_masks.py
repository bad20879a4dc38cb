"""``unfog sample --mask``: pairs of samples and masks, classes asked for alone, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import invoke
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.data.dataset import ArrayDataset
from unfog.runs.run import Run
from unfog.runs.train import train

LABELS = (np.arange(64).reshape(8, 8) // 8 % 3).astype(np.uint8)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EDM of 8 x 8 pictures with a mask of 3 classes and a class of 4; learned in 20 steps."""
    draw = np.random.default_rng(0)
    data = ArrayDataset(
        "arrays",
        draw.random((12, 1, 8, 8), np.float32),
        {"name": "range", "low": 0, "high": 1},
        {"tissue": {"name": "mask", "classes": 3}, "label": {"name": "class", "count": 4}},
        {"tissue": draw.integers(0, 3, (12, 1, 8, 8)), "label": draw.integers(0, 4, 12)},
    )
    small = {"network.channels": 8, "network.groups": 4, "training.batch": 4, "training.warmup": 1}
    settings = {**small, "training.lr": 0.01}
    out = tmp_path_factory.mktemp("masked") / "run"
    train("edm", data, out, steps=20, settings=settings)
    return out


@pytest.fixture
def place(tmp_path: Path, masked: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(masked)
    Path("digits").symlink_to(run)
    Image.fromarray(LABELS).save("mask.png")
    Image.fromarray(LABELS + 1).save("high.png")
    Image.fromarray(LABELS[:4]).save("short.png")
    one_hot = np.stack([np.equal(LABELS, k) for k in range(3)]).astype(np.float32)
    np.save("stack.npy", np.stack([LABELS, LABELS.T]))
    np.save("first.npy", one_hot)
    np.save("last.npy", np.moveaxis(one_hot, 0, -1))
    np.save("half.npy", one_hot / 2)
    return tmp_path


def sample(*options: object) -> Path:
    out = Path(f"out{len(list(Path().glob('out*')))}")
    status, _, told = invoke(" ".join(map(str, ("sample run --steps 2 --out", out, *options))))
    assert status == 0, told
    return out


def test_pairs_stand_beside_each_other(place: Path) -> None:
    out = sample("--mask", "stack.npy", "-n", 2)
    names = sorted(p.name for p in out.glob("[ms]*-000*.png"))
    assert names == [f"{kind}-000{k}.png" for kind in ("mask", "sample") for k in range(4)]
    masks = np.load(out / "masks.npy")
    assert np.array_equal(masks, np.stack([LABELS, LABELS, LABELS.T, LABELS.T]))
    assert np.array_equal(np.asarray(Image.open(out / "mask-0003.png")), LABELS.T)
    assert np.load(out / "samples.npy").shape == (4, 1, 8, 8)
    assert json.loads((out / "summary.json").read_text())["mask"] == "stack.npy"


def test_every_form_of_a_mask_is_one_mask(place: Path) -> None:
    image = nib.Nifti1Image(LABELS[::-1].T[:, :, None].astype(np.float32), np.eye(4))
    image.to_filename("mask.nii.gz")
    maps = np.load("last.npy")[::-1].swapaxes(0, 1)[:, :, None]
    nib.Nifti1Image(maps, np.eye(4)).to_filename("maps.nii.gz")
    files = ("mask.png", "first.npy", "last.npy", "mask.nii.gz", "maps.nii.gz")
    drawn = [np.load(sample("--mask", file) / "samples.npy") for file in files]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_a_class_alone_changes_the_draw_and_the_rest_of_the_mask_is_free(place: Path) -> None:
    out = sample("--mask", "mask.png", "--only", "2")
    assert np.array_equal(np.load(out / "masks.npy")[0], np.where(LABELS == 2, 2, 255))
    # Points of other classes may change places: the network is told of class 2 alone.
    Image.fromarray(np.where(LABELS == 2, 2, 1 - LABELS.clip(0, 1))).save("swapped.png")
    same = sample("--mask", "swapped.png", "--only", "2")
    x, swapped, full = (
        np.load(folder / "samples.npy") for folder in (out, same, sample("--mask", "mask.png"))
    )
    np.testing.assert_array_equal(x, swapped)
    assert np.abs(x - full).max() > 1e-4


def test_guidance_takes_a_number_or_a_scale_for_each(place: Path) -> None:
    both = ("--mask", "mask.png", "--class", 1)
    x = {
        text: np.load(sample(*both, "--guidance", text) / "samples.npy")
        for text in ("1", "mask=1,class=1", "2", "mask=2,class=1.5", "class=1.5,tissue=2")
    }
    np.testing.assert_array_equal(x["1"], x["mask=1,class=1"])
    np.testing.assert_array_equal(x["mask=2,class=1.5"], x["class=1.5,tissue=2"])
    assert np.abs(x["2"] - x["mask=2,class=1.5"]).max() > 1e-4


def test_from_python_labels_are_a_condition(masked: Path) -> None:
    run = Run.open(masked)
    labels = torch.from_numpy(LABELS.astype(np.int64)).expand(2, -1, -1)
    x = run.sample(2, steps=2, condition={"tissue": labels}, guidance={"tissue": 2.0})
    assert x.shape == (2, 1, 8, 8)
    assert not torch.equal(x, run.sample(2, steps=2))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("digits --mask mask.png", "trained without masks"),
        ("run --mask nothing.png", "nothing.png"),
        ("run --mask high.png", "label 3"),
        ("run --mask short.png", "4 x 8 points"),
        ("run --mask half.npy", "sum to 0.5"),
        ("run --mask mask.png --only 1,3", "not '3'"),
        ("run --only 1", "--mask too"),
        ("run --mask mask.png --seamless", "does not tile"),
        ("run --mask mask.png --guidance tisue=2", "did you mean 'tissue'?"),
        ("run --mask mask.png --guidance class=2", "condition to guide towards 'class'"),
        ("run --mask mask.png --guidance mask=loud", "'mask=loud'"),
        ("run --mask mask.png --guidance 1,2", "'1,2'"),
        ("run --guidance 2", "--class or --mask"),
    ],
)
def test_refused_in_one_sentence(place: Path, line: str, words: str) -> None:
    result = CliRunner().invoke(app, ["sample", *line.split(), "--out", "new"])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not Path("new").exists()
