"""Generators that know classes: trained, asked, resumed to the class that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

import unfog
from unfog.errors import InputError
from unfog.networks.generator import Critic
from unfog.runs.generated import GeneratorRun

SYSTEMS = ("gan", "vae", "hierarchical-vae")
LABELS = np.arange(64) % 2
SETTINGS = {"training.batch": 16, "generator.channels": 8, "training.lr": 3e-3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GeneratorRun]:
    """Of pictures whose class is their brightness."""
    folder = tmp_path_factory.mktemp("classes")
    noise = np.random.default_rng(0).random((64, 8, 8), np.float32)
    x = (0.2 * noise + 0.8 * LABELS[:, None, None]).astype(np.float32)
    made = {}
    for system in SYSTEMS:
        # A weight on the latents, which could say the class too.
        weight = {"objective.rise": 5, "objective.beta": 4.0}
        settings = {**SETTINGS, **({} if system == "gan" else weight)}
        made[system] = unfog.train_generator(
            system,
            x,
            folder / system,
            labels=LABELS,
            steps=400 if system == "vae" else 60,
            settings=settings,
        )
    return made


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_class_that_is_asked_for_is_drawn(runs, system):
    run = runs[system]
    dark, bright = (run.sample(16, labels=torch.full((16,), k)) for k in (0, 1))
    assert float(bright.mean() - dark.mean()) > 0.3
    # Without one, both are drawn, by the sample's own number.
    mixed = run.sample(40).flatten(1).mean(1)
    assert float(mixed.max() - mixed.min()) > 0.3
    torch.testing.assert_close(run.sample(5), run.sample(40)[:5])
    with pytest.raises(InputError, match="classes 0 to 1, not 2"):
        run.sample(2, labels=torch.tensor([0, 2]))


@pytest.mark.slow
def test_the_command_takes_a_class(runs, tmp_path):
    path: Path = runs["vae"].path
    status, _, told = invoke(f"sample {path} -n 4 --class 1 --out {tmp_path / 'to'}")
    assert status == 0, told
    expected = runs["vae"].sample(4, labels=torch.ones(4, dtype=torch.int64))
    np.testing.assert_array_equal(np.load(tmp_path / "to" / "samples.npy"), expected.numpy())
    status, _, told = invoke(f"sample {path} --class shoe --out {tmp_path / 'no'}")
    assert (status, told.count("\n")) == (2, 1)


def test_a_critic_judges_each_class_by_its_own_number():
    critic, x = Critic((1, 8, 8), 4, [1, 2], 1, classes=3), torch.randn(5, 1, 8, 8)
    label = torch.tensor([0, 1, 2, 1, 0])
    hidden = torch.nn.functional.leaky_relu(critic.down(x)[-1], 0.2).flatten(1)
    every = hidden @ critic.leave.weight.T + critic.leave.bias
    torch.testing.assert_close(critic(x, label), every[torch.arange(5), label])
