"""``unfog compare``: systems side by side, and on after a stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

from unfog.workflows.compare_summary import mean_and_spread

SMALL = "--set training.steps=3 --set training.batch=4"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.random.default_rng(0).random((60, 8, 8), np.float32))
    return tmp_path


@pytest.mark.slow
def test_systems_are_compared_and_the_comparison_goes_on(place):
    line = f"compare --data mine.npy --features pixels --out to {SMALL} --json"
    status, out, told = invoke(f"{line} --systems gan --seeds 1")
    assert status == 0, told
    judged = place / "to" / "gan-0" / "judged.json"
    before = judged.stat().st_mtime_ns
    # Another system joins; what is there stays.
    status, out, told = invoke(f"{line} --systems gan,vae --seeds 1")
    assert status == 0, told
    found = json.loads(out)["systems"]
    assert judged.stat().st_mtime_ns == before
    assert {name: one["runs"] for name, one in found.items()} == {"gan": 1, "vae": 1}
    value = json.loads(judged.read_text())["figures"]["recall"]["value"]
    assert found["gan"]["recall"]["mean"] == pytest.approx(value)
    assert found["gan"]["CPU seconds of training"]["mean"] > 0
    assert found["vae"]["steps"] == 3
    page = (place / "to" / "report.html").read_text()
    assert "Loss of gan" in page
    assert "Loss of vae" in page
    # A run that fails is named, and the others are judged.
    shutil.rmtree(place / "to")
    status, out, _ = invoke(f"{line} --systems gan,vae --seeds 1 --set objective.beta=-1")
    found = json.loads(out)
    assert status == 1
    assert set(found["failed"]) == {"gan-0", "vae-0"}
    assert "beta" in found["failed"]["vae-0"]


def test_the_spread_is_that_of_numpy():
    values = [0.3, 1.2, 5.0]
    expected = (np.mean(values), np.std(values, ddof=1))
    assert mean_and_spread(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data mine.npy --systems gann", "did you mean 'gan'?"),
        ("--data mine.npy --systems autoencoder-kl", "draws nothing"),
        ("--data mine.npy --systems latent-diffusion", "another run first"),
        ("--data nowhere --systems gan", "nowhere"),
        ("--data mine.npy --systems gan --features fid", "feature space"),
        ("--data mine.npy --systems gan --set steps", "key=value"),
    ],
)
def test_bad_input_is_one_sentence(place, line, words):
    status, _, told = invoke(f"compare {line} --out to")
    assert (status, told.count("\n")) == (2, 1), told
    assert words in told
    assert not (place / "to").exists()
