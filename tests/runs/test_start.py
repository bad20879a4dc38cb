"""Training that starts from the weights of another run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unfog.data.dataset import ArrayDataset, open_dataset
from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.run import Run
from unfog.runs.train import train, train_system

pytest.importorskip("sklearn")

SMALL = [
    "network.channels=8",
    "network.multipliers=[1,2]",
    "network.blocks=1",
    "network.groups=4",
    "training.batch=4",
    "training.warmup=1",
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("start") / "first"
    train_system("edm", "digits", out, [*SMALL, "training.steps=5", "training.lr=0.01"])
    return out


def test_it_goes_on_from_the_averaged_weights(first: Path, tmp_path: Path) -> None:
    still = [*SMALL, "training.steps=1", "training.lr=1e-12", "training.seed=3"]
    train_system("edm", "digits", tmp_path / "second", still, start=first)
    before, after = Run.open(first), Run.open(tmp_path / "second")
    for name, value in before.denoiser.state_dict().items():
        torch.testing.assert_close(after.denoiser.state_dict()[name], value, rtol=0, atol=1e-8)
    assert after.config["start"] == {"run": "first", "sha256": before.weights_sha256}
    train_system("edm", "digits", tmp_path / "alone", still)
    assert Run.open(tmp_path / "alone").weights_sha256 != after.weights_sha256


def test_what_does_not_fit_is_refused_and_nothing_written(first: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another network"):
        train_system(
            "edm", "digits", tmp_path / "wide", [*SMALL, "network.channels=16"], start=first
        )
    with pytest.raises(InputError, match="is not a run"):
        train_system("edm", "digits", tmp_path / "none", SMALL, start=tmp_path / "missing")
    with pytest.raises(InputError, match="leave out --start"):
        train_system("edm", "digits", first, resume=True, start=first)
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_a_mask_starts_as_the_one_without(first: Path, tmp_path: Path) -> None:
    """New channels weigh nothing at first, so a mask changes nothing; then they learn."""
    data = open_dataset("digits")
    assert isinstance(data, ArrayDataset)
    arrays = data.arrays
    mask = (arrays["x"] > 8).astype("uint8")
    conditions = {**data.conditions, "ink": {"name": "mask", "classes": 2}}
    masked = ArrayDataset(
        "arrays", arrays["x"], data.codec, conditions, {"label": arrays["label"], "ink": mask}
    )
    settings = {**dict(pair.split("=") for pair in SMALL), "training.warmup": 1}
    settings = {key: yaml.parse(str(value), key) for key, value in settings.items()}
    before, x = Run.open(first).denoiser, torch.randn(2, 1, 8, 8)
    t, label = torch.tensor(0.01, dtype=torch.float64), torch.tensor([1, 2])
    for lr, same in ((1e-12, True), (0.01, False)):
        out = tmp_path / str(lr)
        train("edm", masked, out, steps=2, settings={**settings, "training.lr": lr}, start=first)
        with_mask = Run.open(out).denoiser(x, t, label=label, ink=torch.ones(2, 8, 8).long()).mean
        without = Run.open(out).denoiser(x, t, label=label).mean
        assert torch.allclose(with_mask, before(x, t, label=label).mean, atol=1e-5) == same
        assert torch.allclose(with_mask, without, atol=1e-7) == same
