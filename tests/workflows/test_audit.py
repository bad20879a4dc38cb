"""``unfog audit`` from folder to report, and what it refuses."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import invoke

import unfog
from unfog.data.dataset import datasets, open_dataset
from unfog.data.memory import Memory
from unfog.runs.likely import unlikelihood_of
from unfog.runs.membership import losses_of
from unfog.workflows.audit import AS_TRAINED, held_out_data

SIDE = 12


def smooth(n: int, seed: int) -> np.ndarray:
    """Smooth pictures of bytes (n, side, side)."""
    noise = torch.randn(n, 1, SIDE + 4, SIDE + 4, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.avg_pool2d(noise, 5, 1)[:, 0]
    return (128 + 250 * x).clamp(0, 255).byte().numpy()


def write(folder: Path, x: np.ndarray) -> Path:
    folder.mkdir()
    for k, picture in enumerate(x):
        Image.fromarray(picture).save(folder / f"{k:04d}.png")
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training pictures, others alike, and samples: fresh ones, and some with copies among them."""
    monkeypatch.chdir(tmp_path)
    train = smooth(300, 0)
    write(tmp_path / "train", train)
    write(tmp_path / "held", smooth(200, 1))
    write(tmp_path / "fresh", smooth(100, 2))
    planted = smooth(100, 3)
    planted[:10] = np.flip(train[50:60], -1)
    write(tmp_path / "planted", planted)
    return tmp_path


def audit(line: str) -> dict:
    status, out, told = invoke(f"audit {line} --json")
    assert status == 0, told
    return json.loads(out)


def test_planted_copies_are_named_and_shown(place):
    line = "planted --against train --held-out held --features pixels --out to"
    found = audit(line)
    flagged = found["pixels"]["flagged samples"]
    assert set(range(10)) <= set(flagged)
    assert len(flagged) <= 15
    assert found["copies"] is True
    page = (place / "to" / "report.html").read_text()
    assert page.count("<img") == 40
    assert "evidence, not proof" in page


def test_fresh_samples_are_not_accused(place):
    found = audit("fresh --against train --held-out held --features pixels --out to")
    assert found["copies"] is False
    assert found["membership"] == {
        "left out": "there is no run, or its loss is none of single samples"
    }
    assert found["extraction"]["of these near to a training item"] == 0
    assert found["extraction"]["draws of each"] == 100


@pytest.mark.slow
def test_copies_show_in_features_too(place):
    found = audit("planted --against train --held-out held --out to")
    assert set(range(10)) <= set(found["pixels"]["flagged samples"])
    assert "network trained on the data" in found["features are"]
    assert found["features"]["flagged"] >= 0


@pytest.mark.slow
def test_a_run_that_learned_its_data_by_heart_is_told_by_its_loss(place):
    few = write(place / "few", smooth(60, 5))
    settings = {"training.lr": 2e-3, "objective.rise": 10, "generator.channels": 16}
    unfog.train_generator("vae", str(few), place / "run", steps=400, settings=settings)
    found = audit("run --held-out held --features pixels --out to")
    low, _ = found["membership"]["interval"]
    assert low > 0.8
    low, _ = found["membership by likelihood"]["interval"]
    assert low > 0.6
    # The run's card keeps what was found, beside what was there.
    card = json.loads((place / "run" / "card.json").read_text())
    assert card["audit"]["membership"]["auc"] == pytest.approx(found["membership"]["auc"], rel=1e-3)
    assert "evidence, not proof" in card["audit"]["note"].lower()


def test_the_likelihood_of_a_linear_flow_is_that_of_its_gaussian(tmp_path):
    """A model that has learned nothing says x_0 = 0 given anything but the skip, so its flow is
    known: its likelihood is a Gaussian's and falls with the length of x.
    """
    x = np.random.default_rng(0).random((40, SIDE, SIDE), np.float32)
    x[::2] = 0.5 + 0.05 * (x[::2] - 0.5)
    settings = {"training.batch": 4, "training.lr": 1e-12}
    unfog.train("edm", x, tmp_path / "run", steps=1, settings=settings)
    found = unlikelihood_of(tmp_path / "run", Memory(x), torch.arange(40))
    assert found is not None
    length = torch.from_numpy(x).sub(x.min()).div(x.max() - x.min()).mul(2).sub(1)
    square = length.flatten(1).square().sum(1).double()
    # -log p is affine in the square length.
    slope, offset = np.polyfit(square.numpy(), found.numpy(), 1)
    residual = found.numpy() - slope * square.numpy() - offset
    assert slope > 0
    assert np.abs(residual).max() < 0.05 * float(found.max() - found.min())


@pytest.mark.slow
def test_a_model_of_fifty_pictures_is_flagged_and_one_of_many_is_not(place):
    few, many = write(place / "fifty", smooth(50, 10)), write(place / "many", smooth(3000, 11))
    settings = {"network.channels": 32, "training.batch": 16, "training.lr": 2e-3}
    for data, out in ((few, "by-heart"), (many, "learned")):
        unfog.train("edm", str(data), place / out, steps=450, settings=settings)
    line = "--held-out held --features pixels -n 60 --likelihood 48 --steps 12 --extract 0"
    bad = audit(f"by-heart {line} --out bad")
    good = audit(f"learned {line} --out good")
    assert bad["copies"] is True
    assert bad["membership"]["interval"][0] > 0.8
    assert bad["membership by likelihood"]["interval"][0] > 0.8
    assert good["copies"] is False
    low, _ = good["membership"]["interval"]
    assert low < 0.55


def test_the_loss_of_a_run_is_that_of_its_samples(run):
    data = unfog.open_dataset("digits")
    ids = torch.arange(70)
    whole = losses_of(run, data, ids, draws=2)
    assert whole is not None
    assert whole.shape == (70,)
    assert torch.equal(losses_of(run, data, ids, draws=2), whole)
    # What is drawn depends on the place and the seed, not on the sample.
    swapped = losses_of(run, data, torch.tensor([*range(69), 80]), draws=2)
    assert torch.equal(swapped[:69], whole[:69])
    assert not torch.equal(losses_of(run, data, ids, draws=2, seed=1), whole)


def test_a_game_has_no_loss_of_single_samples(tmp_path):
    x = np.random.default_rng(0).random((8, SIDE, SIDE), np.float32)
    unfog.train_generator("gan", x, tmp_path / "run", steps=1, settings={"training.batch": 4})
    assert losses_of(tmp_path / "run", Memory(x), torch.arange(4)) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fresh --against train", "--held-out"),
        ("fresh --against train --held-out train", "are the training data"),
        ("fresh --against train --held-out small", "one size"),
        ("fresh --against train --held-out few", "at least 50"),
        ("fresh --held-out held", "--against"),
        ("fresh --against train --held-out held --steps 3", "no run"),
        ("fresh --against train --held-out held --alarm 0", "between 0 and 1"),
        ("fresh --against train --held-out held --sscd nowhere.onnx", "no file nowhere.onnx"),
    ],
)
def test_bad_input_is_one_sentence(place, line, words):
    write(place / "small", smooth(60, 7)[:, :10, :10])
    write(place / "few", smooth(12, 8))
    status, _, told = invoke(f"audit {line} --out to")
    assert (status, told.count("\n")) == (2, 1), told
    assert words in told
    assert not (place / "to").exists()


def test_held_out_data_are_made_as_the_training_data_and_share_nothing_with_them():
    train = open_dataset("textures")
    other = held_out_data(Path("textures"), train, None)
    assert len(other) == 3 * 57 * 6
    assert not {x.tobytes() for x in train.arrays["x"]} & {x.tobytes() for x in other.arrays["x"]}


@pytest.mark.parametrize("name", AS_TRAINED)
def test_what_is_left_out_of_a_test_split_is_an_option_of_the_data(name):
    options = inspect.signature(datasets.get(name)).parameters
    assert AS_TRAINED[name].keys() <= options.keys()
    assert "split" in options
