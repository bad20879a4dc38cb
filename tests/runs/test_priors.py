"""The priors in the package: each opens by name, is small, says what made it, and denoises what it
draws.
"""

import json

import numpy as np
import pytest
import torch

from unfog.runs.folder import CARD, locate, priors
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

PICTURES = [name for name in ("fashion", "head-ct", "textures") if name in priors()]


@pytest.mark.parametrize("name", priors())
def test_a_prior_is_small_and_says_what_made_it(name):
    assert sum(file.stat().st_size for file in locate(name).iterdir()) < 10e6
    card = json.loads((locate(name) / CARD).read_text())
    assert {"data", "held_out", "commands", "licence", "seed", "steps", "figures"} <= set(card)


@pytest.mark.parametrize("name", PICTURES)
def test_a_prior_of_pictures_draws_within_its_range_and_takes_noise_off(name):
    """Its own draws stand for the data, which may not be at hand: of noise of a tenth of the range
    less than half is left.
    """
    run = Run.open(name)
    low, high = (float(run.codec.decode(torch.tensor(end))) for end in (-1.0, 1.0))
    x = draw(run, Plan.of(run, steps=8), range(2))
    assert x.shape == (2, *run.shape)
    assert low - 0.15 * (high - low) < float(x.min()) < float(x.max()) < high + 0.15 * (high - low)
    sigma = 0.1 * (high - low)
    noise = sigma * torch.from_numpy(np.random.default_rng(0).normal(size=x.shape)).float()
    assert float((posterior_mean(run, x + noise, sigma) - x).std()) < 0.5 * sigma
