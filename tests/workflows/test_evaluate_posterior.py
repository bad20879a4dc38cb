"""``unfog evaluate --posterior`` from command line to report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

from unfog.core.random import generator
from unfog.evaluation.estimates import NORMAL
from unfog.workflows.oracles import oracle_run, oracles


def checked(line: str, out: Path) -> dict:
    status, printed, told = invoke(f"evaluate {line} --posterior --out {out} --json")
    assert status == 0, told
    assert json.loads(printed)["truths"] > 0
    return json.loads((out / "figures.json").read_text())


@pytest.mark.slow
def test_an_exact_prior_and_method_are_calibrated_and_another_method_is_not(tmp_path):
    line = "oracle:gaussian --task deblur --blur 1 --noise 0.3 -n 60 --draws 9 --steps 25"
    exact = checked(line, tmp_path / "mmps")
    off = checked(f"{line} --method ddnm", tmp_path / "ddnm")
    assert exact["ranks uniform"] is True
    assert exact["coverage"]["value"] == pytest.approx(0.8, abs=0.06)
    assert exact["coverage"]["level"] == pytest.approx(0.8)
    assert exact["score-KSD"]["interval"][0] < 0.02
    assert off["ranks uniform"] is False
    assert off["score-KSD"]["value"] > 10 * abs(exact["score-KSD"]["value"])
    page = (tmp_path / "mmps" / "report.html").read_text()
    assert "Ranks of the truth" in page
    assert "floor" in page


def test_a_run_is_checked_by_its_own_samples_or_by_data(run, tmp_path):
    line = f"{run} --noise 0.5 -n 20 --draws 3 --steps 2"
    own = checked(line, tmp_path / "own")
    data = checked(f"{line} --against digits", tmp_path / "data")
    assert (own["truths from"], data["truths from"]) == ("the prior", "digits")
    assert own["draws"] == 3
    assert len(own["coverage curve"]) == 1
    assert "draw 1" in (tmp_path / "own" / "report.html").read_text()


def test_masks_and_operators_in_files(tmp_path):
    hole = np.zeros((1, 16), np.float32)
    hole[0, 4:8] = 1
    np.save(tmp_path / "hole.npy", hole)
    (tmp_path / "a.yaml").write_text("- {name: blur, deviation: 1.0, dimensions: 1}\n")
    common = "oracle:gaussian --noise 0.3 -n 20 --draws 4 --steps 10"
    holes = checked(f"{common} --task inpaint --mask {tmp_path / 'hole.npy'}", tmp_path / "x")
    blurred = checked(f"{common} --task custom --operator {tmp_path / 'a.yaml'}", tmp_path / "y")
    assert holes["error over spread"]["value"] == pytest.approx(1, abs=0.4)
    assert blurred["error over spread"]["value"] == pytest.approx(1, abs=0.4)


@pytest.mark.slow
def test_an_oracle_s_samples_are_of_its_denoiser():
    # Tweedie: the mean over x_t of E[x_0 | x_t] is the mean of x_0.
    for name in oracles.names():
        opened, oracle = oracle_run(f"oracle:{name}")
        x = oracle.draw(500 if "levy" in name else 4000, generator("x"))
        t = opened.denoiser.process.t_of_noise_level(torch.tensor(0.5))
        noise = torch.randn(x.shape, generator=generator("n"), dtype=x.dtype)
        mean = opened.denoiser(x + 0.5 * noise, t).mean
        gap = (mean - x).mean(0) / ((mean - x).std(0) / len(x) ** 0.5)
        assert float(gap.abs().max()) < 2 * NORMAL


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oracle:gaussian --posterior", "--noise"),
        ("oracle:gaussian --posterior --noise -1", "above 0"),
        ("oracle:gauss --posterior --noise 1", "oracle 'gauss'"),
        ("oracle:gaussian --posterior --noise 1 -n 5", "20 truths"),
        ("oracle:gaussian --posterior --noise 1 --method best", "method 'best'"),
        ("oracle:gaussian --posterior --noise 1 --task inpaint", "--mask"),
        ("oracle:gaussian --posterior --noise 1 --task custom", "--operator"),
        ("oracle:gaussian --posterior --noise 1 --task mri", "one channel and two dimensions"),
        ("oracle:gaussian --posterior --noise 1 --against digits", "--against"),
        ("oracle:gaussian --posterior --noise 1 --features data", "--features"),
        ("digits --task denoise --against digits", "--task"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, line, words):
    status, _, told = invoke(f"evaluate {line} --out {tmp_path / 'to'}")
    assert (status, told.count("\n")) == (2, 1), told
    assert words in told
    assert not (tmp_path / "to").exists()
