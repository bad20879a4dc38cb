"""Recipes that are given less than their own training fit themselves to it, and only then."""

from __future__ import annotations

import math

import numpy as np
import pytest

import unfog.builtin  # noqa: F401  (registers every system)
from unfog.data import open_dataset
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs import budget
from unfog.runs.budget import PREFERRED, TEACHES, fit
from unfog.runs.build import build
from unfog.runs.run import Run
from unfog.runs.train import train_system
from unfog.runs.train_from_config import configure
from unfog.training.ema import power_ramp


def made(shape, system="ddpm", *overrides):
    """A system's config on noise of a shape, the keys that are set, and the data."""
    x = np.random.default_rng(0).uniform(-1, 1, (3, *shape)).astype(np.float32)
    data = Memory(x, dims=len(shape) - 1)
    config = configure(system, data, {"name": data.name}, overrides)
    return config, data, {pair.partition("=")[0] for pair in overrides}


def parameters(config):
    return sum(p.numel() for p in build(config).denoiser.parameters())


@pytest.mark.parametrize("system", ["ddpm", "edm", "rectified-flow", "improved-ddpm"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 12), (2, 40)])
def test_a_short_run_of_small_samples(system, shape):
    config, data, given = made(shape, system, "training.steps=190")
    fitted = fit(config, data, given)
    assert fitted["training"]["warmup"] == 19  # a tenth
    assert parameters(fitted) < 1_000_000 < parameters(config)
    assert fitted["training"]["batch"] <= 64
    # What the average holds of the weights at the start: nothing, where .9999 would hold .98.
    decay = power_ramp(fitted["training"]["ema"], fitted["training"]["ema_power"])
    assert math.prod(decay(t) for t in range(1, 191)) == 0
    assert 1 - math.prod(decay(t) for t in range(96, 191)) > 0.999  # all from the second half
    # The parts that make the system are its own.
    same = ("process", "prediction", "objective", "conditions")
    assert all(fitted[key] == config[key] for key in same)


def test_what_the_user_sets_stays():
    mine = [
        "network.channels=48",
        "network.groups=16",
        "training.batch=7",
        "training.lr=3e-4",
        "training.warmup=55",
        "training.ema=0.99",
        "sampling.clip=null",
    ]
    config, data, given = made((1, 8, 8), "ddpm", *mine, "training.steps=100")
    assert fit(config, data, given) == config
    # One at a time, and the others are fitted.
    for pair, (section, key) in zip(
        mine[2:5], (("training", "batch"), ("training", "lr"), ("training", "warmup")), strict=True
    ):
        config, data, given = made((1, 8, 8), "ddpm", pair, "training.steps=100")
        fitted = fit(config, data, given)
        assert fitted[section][key] == config[section][key]
        assert fitted["network"]["channels"] == 32


@pytest.mark.parametrize(
    ("system", "shape", "steps"),
    [
        ("ddpm", (1, 8, 8), 20_000),
        ("edm", (1, 8, 8), 90_000),
        ("t1-prior", (1, 24, 20), 18_000),
        ("ct-prior", (1, 24, 20), 8_000),  # as the shipped ones were made
        ("texture-prior", (1, 32, 32), 2_900),
        ("field-prior", (1, 32, 32), 4_000),
    ],
)
def test_long_runs_and_shipped_recipes_stay(system, shape, steps):
    config, data, given = made(shape, system, f"training.steps={steps}")
    assert fit(config, data, given) == config
    config, data, given = made(shape, system)
    assert fit(config, data, given) == config


@pytest.mark.parametrize(
    ("system", "clip"), [("ddpm", 1.0), ("ddim", 1.0), ("edm", None), ("improved-ddpm", None)]
)
def test_a_short_run_of_noise_prediction_clips_its_samples(system, clip):
    config, data, given = made((1, 8, 8), system, "training.steps=100")
    assert fit(config, data, given)["sampling"].get("clip") == clip
    own, data, given = made((1, 8, 8), system, "training.steps=100", "sampling.clip=null")
    assert fit(own, data, given)["sampling"].get("clip") is None


def test_clipped_samples_stay_in_the_range_of_the_data(tmp_path):
    small = ["network.channels=8", "network.groups=4", "training.batch=4", "training.steps=1"]
    train_system("ddpm", "digits", tmp_path / "run", small)
    run = Run.open(tmp_path / "run")
    low, high = run.config["codec"]["low"], run.config["codec"]["high"]
    inside = run.sample(2, steps=5)
    assert low <= inside.min()
    assert inside.max() <= high
    run.config["sampling"]["clip"] = None
    assert run.sample(2, steps=5).abs().max() > 2 * high  # one step has taught it nothing
    run.config["sampling"]["clip"] = -1
    with pytest.raises(InputError, match=r"sampling\.clip is a number above 0"):
        run.sample(1, steps=2)


def test_consistency_doubles_its_knots_within_the_run():
    config, data, given = made((1, 8, 8), "consistency", "training.steps=400")
    assert fit(config, data, given)["objective"]["every"] == 400 * 2500 // 20_000


def machine(monkeypatch, speed, bf16=1.0):
    """A machine that makes ``speed`` steps a second of the patched network of 32 channels, a
    quarter as many of that on pixels, and a fortieth of the recipe's.
    """

    def rate(config, dataset, seconds, teacher, clock):
        network = config["network"]
        slow = 40 if network["channels"] == 64 else 1 if network.get("patch", 1) > 1 else 4
        faster = bf16 if config["training"]["precision"] == "bf16" else 1.0
        return speed / slow * faster

    monkeypatch.setattr(budget, "rate", rate)


@pytest.mark.parametrize(
    ("minutes", "channels", "patch"), [(2, 32, 2), (60, 32, 1), (24 * 60, 64, 1)]
)
def test_minutes_choose_the_widest_network_that_learns(monkeypatch, minutes, channels, patch):
    machine(monkeypatch, 10.0)
    config, data, given = made((1, 28, 28))
    fitted = fit(config, data, given, minutes)
    network, training = fitted["network"], fitted["training"]
    assert (network["channels"], network.get("patch", 1)) == (channels, patch)
    if channels == 64:
        assert network == config["network"]
        assert training["steps"] == pytest.approx(minutes * 60 * 10 / 40, rel=0.01)
    if minutes == 2:
        assert training["steps"] == pytest.approx(1200, rel=0.01)
        assert (training["warmup"], training["batch"]) == (training["steps"] // 10, 16)
    else:
        assert training["steps"] >= PREFERRED


@pytest.mark.parametrize(
    ("shape", "patch", "batch"),
    [
        ((1, 16, 16), 1, 16),  # tiny
        ((1, 28, 28), 2, 16),
        ((3, 32, 32), 2, 16),
        ((1, 96, 80), 4, 8),
        ((1, 256, 256), 4, 4),  # no larger patches
        ((1, 200, 24), 2, 4),  # 8 of them at least along the smaller axis
        ((1, 24, 24, 24), 2, 4),
    ],
)
def test_patches_in_minutes_go_by_the_size_of_a_sample(monkeypatch, shape, patch, batch):
    machine(monkeypatch, 10.0)
    config, data, given = made(shape)
    fitted = fit(config, data, given, 2)
    network = fitted["network"]
    assert (network.get("patch", 1), fitted["training"]["batch"]) == (patch, batch)
    assert fitted["training"]["lr"] == (2e-3 if patch == 4 else 1e-3)
    # Those for large samples know where they are, and pass the noise on.
    assert network.get("shortcut", False) == network.get("coordinates", False) == (patch == 4)
    assert all(fitted[key] == config[key] for key in ("process", "prediction", "objective"))
    build(fitted)


@pytest.mark.parametrize(("bf16", "wanted"), [(0.3, "fp32"), (1.1, "fp32"), (2.0, "bf16")])
def test_the_precision_is_that_of_the_network(monkeypatch, bf16, wanted):
    machine(monkeypatch, 10.0, bf16)
    config, data, given = made((1, 28, 28))
    config["training"]["precision"] = "bf16"  # as a probe of larger work may say
    assert fit(config, data, given, 2)["training"]["precision"] == wanted
    kept = fit(config, data, {"training.precision"}, 2)
    assert kept["training"]["precision"] == "bf16"


def test_a_budget_that_cannot_teach_says_what_would(caplog):
    budget.warn_if_short(TEACHES, 60.0)
    assert not caplog.messages
    budget.warn_if_short(TEACHES // 10, 120.0)
    assert "about 20 minutes would teach" in caplog.messages[-1]
    budget.warn_if_short(TEACHES // 2, 20.0)
    assert "about 1 minute would teach" in caplog.messages[-1]


def test_a_fitted_run_keeps_what_was_chosen(tmp_path, caplog):
    out = tmp_path / "run"
    train_system("edm", "digits", out, ["training.steps=20", "training.batch=4"])
    assert "20 steps are too few" in caplog.text
    chosen = yaml.read(out / "config.yaml")
    assert chosen["network"]["channels"] == 32
    assert chosen["training"]["warmup"] == 2
    assert chosen["training"]["ema_power"] == 17
    train_system("edm", None, out, ["training.steps=21"], resume=True)
    again = yaml.read(out / "config.yaml")
    assert again["training"].pop("steps") == 21
    assert chosen["training"].pop("steps") == 20
    assert again == chosen


def test_a_start_keeps_its_network(tmp_path):
    first = tmp_path / "first"
    small = ["network.channels=8", "network.groups=4", "training.batch=4", "training.steps=1"]
    train_system("edm", "digits", first, small)
    train_system("edm", "digits", tmp_path / "second", small, start=first)
    with pytest.raises(InputError, match="another network"):  # the recipe's, not a fitted one
        train_system("edm", "digits", tmp_path / "third", small[2:], start=first)
    config = configure("edm", open_dataset("digits"), {"name": "digits"}, small[2:])
    assert config["network"]["channels"] == 64


def test_data_of_many_channels_as_latents_get_a_network_that_passes_their_noise():
    for channels, width, shortcut in [(3, 32, False), (32, 96, True)]:
        config, data, keys = made((channels, 8, 8), "ddpm", "training.steps=900")
        network = fit(config, data, keys)["network"]
        assert network["channels"] == width
        assert network.get("shortcut", False) is shortcut
