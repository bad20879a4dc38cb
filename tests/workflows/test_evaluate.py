"""``unfog evaluate`` from folder to report, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import invoke


def pictures(folder: Path, n: int, seed: int, scale: float = 20.0, side: int = 12) -> Path:
    """Grey pictures of smooth noise about 128."""
    folder.mkdir()
    noise = np.random.default_rng(seed).normal(size=(n, side, side))
    for k, x in enumerate((128 + scale * noise).clip(0, 255).astype(np.uint8)):
        Image.fromarray(x).save(folder / f"{k:04d}.png")
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "real", 320, 0)
    pictures(tmp_path / "alike", 120, 1)
    pictures(tmp_path / "other", 120, 2, 60.0)
    return tmp_path


def figures(folder: Path) -> dict:
    return json.loads((folder / "figures.json").read_text())["figures"]


def test_what_is_alike_reaches_the_floor_and_what_is_not_does_not(place):
    for name in ("alike", "other"):
        status, _, told = invoke(
            f"evaluate {name} --against real --features pixels --out to-{name}"
        )
        assert status == 0, told
    alike, other = figures(place / "to-alike"), figures(place / "to-other")
    names = {"frechet", "kid", "sliced wasserstein", "precision", "recall", "density"}
    assert set(alike) == names | {"coverage", "spectrum"}
    assert alike["frechet"]["value"] < 1.2 * alike["frechet"]["floor"]
    assert other["frechet"]["interval"][0] > other["frechet"]["floor interval"][1]
    assert other["spectrum"]["value"] == pytest.approx(np.log(9), abs=0.3)  # (60 / 20)^2
    assert alike["spectrum"]["value"] < 0.1
    report = (place / "to-other" / "report.html").read_text()
    assert "the real ones nearest" in report
    assert "floor" in report


def test_a_run_is_judged_beside_its_own_data(run, tmp_path):
    status, out, told = invoke(
        f"evaluate {run} --features pixels -n 24 --steps 2 --bits 4 --out {tmp_path / 'to'} --json"
    )
    assert status == 0, told
    found = json.loads(out)
    assert (found["n"], found["against"], found["steps"]) == (24, "digits", 2)
    assert found["bits per dimension"]["n"] == 4
    assert found["bits per dimension"]["value"] > 1
    assert "Bits per dimension" in (tmp_path / "to" / "report.html").read_text()
    assert "frechet" in found["left_out"]  # too few for that one
    assert found["figures"]["precision"]["value"] < found["figures"]["precision"]["floor"]


def test_samples_of_unfog_sample_are_read_in_the_data_s_units(run, tmp_path):
    assert invoke(f"sample {run} -n 24 --steps 2 --out {tmp_path / 'drawn'}")[0] == 0
    line = (
        f"evaluate {tmp_path / 'drawn'} --against digits --features pixels --out {tmp_path / 'to'}"
    )
    status, _, told = invoke(line)
    assert status == 0, told
    assert set(figures(tmp_path / "to")) >= {"precision", "sliced wasserstein"}


def test_pairs_are_their_psnr_and_ssim(place):
    truth = np.asarray([Image.open(p) for p in sorted((place / "alike").iterdir())], float) / 255
    x = np.asarray([Image.open(p) for p in sorted((place / "other").iterdir())], float) / 255
    assert invoke("evaluate other --against alike --paired --out to")[0] == 0
    expected = -10 * np.log10(((x - truth) ** 2).mean((1, 2))).mean()
    found = figures(place / "to")
    assert found["psnr"]["value"] == pytest.approx(expected, rel=1e-6)
    metrics = pytest.importorskip("skimage.metrics")
    similar = [
        metrics.structural_similarity(
            a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(x, truth, strict=True)
    ]
    assert found["ssim"]["value"] == pytest.approx(np.mean(similar), abs=1e-6)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alike --against nowhere", "nowhere"),
        ("alike", "--against"),
        ("small --against real", "one size"),
        ("mixed --against real", "make them alike"),
        ("few --against real --features pixels", "at least 20"),
        ("alike --against real --features fid", "feature space"),
        ("alike --against real --steps 3", "no run"),
        ("few --against real --paired", "as many"),
        ("alike --against real --features pixels --bits 4", "--bits"),
        ("alike --against real --paired --seed 3", "--seed"),
    ],
)
def test_bad_input_is_one_sentence(place, line, words):
    pictures(place / "small", 30, 3, side=10)
    pictures(place / "few", 12, 4)
    pictures(place / "mixed", 30, 5)
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(place / "mixed" / "0005.png")
    status, _, told = invoke(f"evaluate {line} --out to")
    assert (status, told.count("\n")) == (2, 1), told
    assert words in told
    assert not (place / "to").exists()


def test_a_run_whose_data_are_gone_says_so(place):
    train = "train edm --data alike --out run --steps 1 --set training.batch=2"
    small = " --set network.channels=8 --set network.groups=4"
    assert invoke(train + small)[0] == 0
    (place / "alike").rename(place / "moved")
    status, _, told = invoke("evaluate run --out to")
    assert (status, "not at hand" in told) == (2, True), told
