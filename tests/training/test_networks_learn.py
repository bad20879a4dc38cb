"""A DiT learns digits: after a few hundred steps it denoises those that it has not seen better than
any linear denoiser could.
"""

from __future__ import annotations

import pytest
import torch

import unfog
from unfog.data.dataset import open_dataset
from unfog.data.memory import Memory

TRAINING, SIGMA_MAX = 1500, 80.0


@pytest.mark.slow
@pytest.mark.parametrize("places", ["sinusoidal", "rotary"])
def test_a_dit_beats_the_best_linear_denoiser(places, tmp_path):
    pytest.importorskip("sklearn")
    digits = open_dataset({"name": "digits"})
    batch = digits.batch(range(len(digits)))
    x, labels = batch["x"] / 8 - 1, batch["label"]
    settings = {
        "network.name": "dit",
        "network.width": 96,
        "network.depth": 4,
        "network.positions": places,
        "training.lr": 2e-3,
        "training.precision": "fp32",
    }
    train = Memory(x[:TRAINING], labels[:TRAINING], value_range=(-1, 1))
    run = unfog.train("edm", train, tmp_path / "run", steps=300, settings=settings)

    # mean + C (C + sigma^2)^-1 (x_t - mean), with the mean and covariance of the training digits
    flat, unseen = x[:TRAINING].flatten(1).double(), x[TRAINING:].double()
    mean, c = flat.mean(0), torch.cov(flat.T)
    for sigma in (0.25, 0.5, 1.0):
        generator = torch.Generator().manual_seed(5)
        x_t = unseen + sigma * torch.randn(unseen.shape, generator=generator).double()
        gain = torch.linalg.solve(c + sigma**2 * torch.eye(len(c)).double(), c)
        linear = mean + (x_t.flatten(1) - mean) @ gain
        t = torch.tensor(sigma / SIGMA_MAX, dtype=torch.float64)
        with torch.no_grad():
            found = run.denoiser(x_t.float(), t, label=labels[TRAINING:]).mean
        error = float((found - unseen).square().mean())
        assert error < float((linear - unseen.flatten(1)).square().mean())
        assert error < 0.55 * float((mean - unseen.flatten(1)).square().mean())
