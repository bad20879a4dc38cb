"""``unfog compare``: systems side by side, and on after a stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

from unfog.runs.config import load_config
from unfog.workflows import compare_train
from unfog.workflows.compare_budget import settings_of
from unfog.workflows.compare_summary import at_seconds, mean_and_spread

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


@pytest.mark.slow
def test_latent_diffusion_is_compared_after_an_autoencoder_of_its_own(place):
    line = f"compare --data mine.npy --features pixels --out to {SMALL} --seeds 1 --json"
    line += " --systems latent-diffusion --set latent-diffusion:network.channels=8"
    line += " --set latent-diffusion:network.groups=4 --set latent-diffusion:sampling.steps=2"
    status, out, told = invoke(line)
    assert status == 0, told + out
    found = json.loads(out)["systems"]
    whole = found["latent-diffusion"]["CPU seconds of training"]["mean"]
    before = found["latent-diffusion"]["of these before it"]["mean"]
    parts = [json.loads((place / "to" / name / "cost.json").read_text())["cpu"]
             for name in ("latent-diffusion-0-first", "latent-diffusion-0")]  # fmt: skip
    assert (before, whole) == pytest.approx((parts[0], sum(parts)))
    codec = load_config(place / "to" / "latent-diffusion-0" / "config.yaml")["codec"]
    assert Path(codec["run"]) == place / "to" / "latent-diffusion-0-first"
    # Killed after the autoencoder's last step, and before its latents were measured: it goes on.
    (place / "to" / "latent-diffusion-0-first" / "latents.json").unlink()
    shutil.rmtree(place / "to" / "latent-diffusion-0")
    weights = [*(place / "to" / "latent-diffusion-0-first").glob("checkpoints/*/weights.*")]
    was = [file.read_bytes() for file in weights]
    status, out, told = invoke(line)
    assert status == 0, told + out
    assert [file.read_bytes() for file in weights] == was
    assert json.loads(out)["systems"]["latent-diffusion"]["runs"] == 1


def test_the_spread_is_that_of_numpy():
    values = [0.3, 1.2, 5.0]
    expected = (np.mean(values), np.std(values, ddof=1))
    assert mean_and_spread(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data mine.npy --systems gann", "did you mean 'gan'?"),
        ("--data mine.npy --systems autoencoder-kl", "draws nothing"),
        ("--data mine.npy --systems dalle2-prior", "another run first"),
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


def test_at_equal_seconds_the_best_setting_that_fits_counts():
    def of(*rows: tuple[float, float], own: float) -> dict[str, object]:
        steps = [{"seconds a sample": s, "distance": {"mean": d}} for s, d in rows]
        return {"CPU seconds a sample": own, "by steps": steps}

    slow = of((0.1, 9.0), (0.2, 4.0), (1.0, 5.0), own=1.0)
    fast = of((0.01, 6.0), own=0.01)
    found = at_seconds({"slow": slow, "fast": fast, "failed": {"runs": 0}})
    assert found["slow"]["distance"] == {"slow": 4.0, "fast": 6.0, "failed": None}
    assert found["fast"]["distance"] == {"slow": None, "fast": 6.0, "failed": None}
    assert set(found) == {"slow", "fast"}


def test_seeds_share_what_was_measured_and_a_setting_of_one_system_is_its_own(place):
    own = {"training.batch": 4, "vae:objective.beta": 2.0}
    first = settings_of("vae", "mine.npy", own, 0.02, place / "vae.json")
    assert first["objective.beta"] == 2.0
    assert first["training.batch"] == 4
    assert "training.seed" not in first
    assert first["training.steps"] > 0
    # What stands in the file is taken, not measured again.
    assert settings_of("vae", "mine.npy", own, 9.0, place / "vae.json") == first
    exact = settings_of("gan", "mine.npy", {**own, "training.steps": 3}, 9.0, place / "gan.json")
    assert exact == {"training.batch": 4, "training.steps": 3}


def test_data_are_encoded_as_they_are_trained_on(tmp_path, monkeypatch):
    encoded = []
    monkeypatch.setattr(compare_train, "train_run", lambda *_: "done")
    monkeypatch.setattr(compare_train, "settings_of", lambda *_: {})
    monkeypatch.setattr(compare_train, "configured", lambda system, data, pairs: (pairs,))
    monkeypatch.setattr(compare_train, "training_data", encoded.extend)
    run = tmp_path / "latent-diffusion-0"
    (tmp_path / "latent-diffusion-0-first").mkdir()
    own = {"latent-diffusion:data.count": 100, "gan:data.count": 7, "training.batch": 8}
    compare_train.train_compared("latent-diffusion", "fashion-mnist", run, own, 1.0, 0)
    assert encoded == ["data.count=100", f'codec.run="{tmp_path}/latent-diffusion-0-first"']
