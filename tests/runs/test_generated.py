"""Runs of generators on the rails of all others: trained, resumed, sampled, judged, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

import unfog
from unfog.runs.generated import GeneratorRun
from unfog.runs.record import Record

SYSTEMS = ("gan", "vae", "hierarchical-vae")
SMALL = "--set training.batch=8 --set generator.channels=8 --set training.checkpoint_every=3"
IMAGES = np.random.default_rng(0).random((40, 12, 12), np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators")
    np.save(folder / "mine.npy", IMAGES)
    for system in SYSTEMS:
        line = (
            f"train {system} --data {folder / 'mine.npy'} --out {folder / system} --steps 6 {SMALL}"
        )
        status, _, told = invoke(line)
        assert status == 0, told
    return folder


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run_is_sampled_and_inspected(place, tmp_path, system):
    status, out, told = invoke(f"sample {place / system} -n 3 --out {tmp_path / 'drawn'} --json")
    assert status == 0, told
    assert json.loads(out)["samples"] == 3
    x = np.load(tmp_path / "drawn" / "samples.npy")
    run = GeneratorRun.open(place / system)
    np.testing.assert_array_equal(x, run.sample(3).numpy())
    torch.testing.assert_close(run.sample(3)[1:], run.sample(3, batch=1)[1:])
    found = json.loads(invoke(f"inspect {place / system} --json")[1])
    assert (found["kind"], found["system"], found["step"]) == ("generator", system, 6)
    assert "Data and samples" in (place / system / "report.html").read_text()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_resumed_run_is_the_unbroken_one(tmp_path, system):
    """Stopped after 3 of 6 steps, with nothing that is laid out over all steps."""
    settings = {"training.batch": 8, "generator.channels": 8, "training.decay": "constant"}
    settings |= {"training.ema_power": 17.0, "training.warmup": 0}
    settings |= {} if system == "gan" else {"objective.rise": 4}

    def go(out: Path, steps: int, resume: bool = False) -> GeneratorRun:
        return unfog.train_generator(
            system, IMAGES, out, steps=steps, settings=settings, resume=resume
        )

    whole = go(tmp_path / "whole", 6)
    go(tmp_path / "broken", 3)
    again = go(tmp_path / "broken", 6, resume=True)
    assert again.weights_sha256 == whole.weights_sha256
    assert Record.of(tmp_path / "broken").losses == Record.of(tmp_path / "whole").losses


@pytest.mark.parametrize(
    "line",
    [
        "restore {} image.png --task denoise --noise 0.1",
        "edit {} image.png --method sdedit --strength 0.5",
        "distill {} --steps 2",
        "calibrate {}",
    ],
)
def test_what_needs_a_denoiser_says_so(place, tmp_path, line, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((12, 12), np.uint8) + 9).save("image.png")
    out = "" if line.startswith("calibrate") else " --out to"
    status, _, told = invoke(line.format(place / "gan") + out)
    assert (status, told.count("\n")) == (2, 1), told
    assert "no denoiser" in told
    assert not Path("to").exists()


def test_options_of_denoisers_are_refused(place, tmp_path):
    status, _, told = invoke(f"sample {place / 'gan'} --steps 5 --out {tmp_path / 'to'}")
    assert (status, "--steps" in told) == (2, True)
    line = f"evaluate {place / 'gan'} --features pixels --steps 5 --out {tmp_path / 'to'}"
    status, _, told = invoke(line)
    assert (status, "one call" in told) == (2, True)
    with pytest.raises(unfog.InputError, match="train_generator"):
        unfog.train("gan", IMAGES, tmp_path / "to")


def test_a_generator_is_judged_as_a_denoiser_is(place, tmp_path):
    line = f"evaluate {place / 'vae'} --features pixels --out {tmp_path / 'to'} --json"
    status, out, told = invoke(line)
    assert status == 0, told
    assert json.loads(out)["n"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_modes_of_vectors_are_drawn(tmp_path, system):
    """Four Gaussians in the plane: what is drawn lies at them, and none is left out."""
    torch.manual_seed(0)
    centres = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    x = centres.repeat(250, 1) + 0.1 * torch.randn(1000, 2)
    settings = {"generator.channels": 32, "training.lr": 2e-3}
    settings |= (
        {"objective.channels": 32, "objective.gamma": 0.1}
        if system == "gan"
        else {"objective.rise": 400}
    )
    run = unfog.train_generator(system, x, tmp_path / "run", dims=0, steps=800, settings=settings)
    drawn = run.sample(1000)
    distance = torch.cdist(drawn, centres)
    share = torch.bincount(distance.argmin(1), minlength=4) / 1000
    assert float(share.min()) > 0.1
    # A VAE draws between modes too; a Gaussian of the data's moments has .18 of its samples there.
    least = {"gan": 0.7, "vae": 0.35, "hierarchical-vae": 0.5}[system]
    assert float((distance.min(1).values < 0.5).float().mean()) > least
