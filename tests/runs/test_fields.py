"""Sparse noisy sensors of a field whose exact denoiser is known: restoration draws the posterior
that kriging has.
"""

from pathlib import Path

import pytest
import torch

from unfog.core.codec import Range
from unfog.core.oracle import StationaryDenoiser
from unfog.core.process import EDM
from unfog.core.random import generators
from unfog.data.dataset import open_dataset
from unfog.evaluation.kriging import Kriging
from unfog.physics.noise import add_gaussian
from unfog.physics.operators import Mask
from unfog.runs.build import build
from unfog.runs.restore import GRID, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.train import configure

SAMPLES, SIGMA = 32, 0.1


def test_sensors_give_the_exact_posterior():
    """Mean and deviation of the draws, within the scatter of so many."""
    data = open_dataset("random-field", split="test", size=16)
    x = data.batch([0, 1])["x"]
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    y = add_gaussian(x, SIGMA, generators(0, range(2), "noise")) * mask
    run = Run(
        Path(),
        {"sampling": {"sampler": "calibrated-draws", "steps": 6, "grid": GRID}},
        StationaryDenoiser(EDM(), data.power / 4),
        Range(-2, 2),
        data.shape,
        {},
    )
    plan = Plan.of(run, grid={"name": "log-snr", "sigma_max": 10.0, "sigma_min": 0.05})
    found = restore(run, y, Mask(mask), SIGMA, samples=SAMPLES, plan=plan, batch=64)
    regressions = [Kriging(data.power, m[0], SIGMA) for m in mask]
    mean = torch.cat([k.mean(v) for k, v in zip(regressions, y[:, None], strict=True)])
    std = torch.stack([k.std() for k in regressions])[:, None]
    assert float(((found.mean - mean) / std).square().mean().sqrt()) == pytest.approx(
        SAMPLES**-0.5, rel=0.25
    )
    assert float((found.std / std).mean()) == pytest.approx(1, abs=0.05)


def test_the_recipe_fits_its_fields():
    data = open_dataset("random-field", split="validation", size=16)
    config = configure(
        "field-prior", data, {"name": "random-field"}, ["network.channels=8", "network.groups=4"]
    )
    assert config["augment"] == {"name": "torus"}
    x = build(config).codec.encode(data.batch(range(64))["x"])
    assert float(x.std()) == pytest.approx(config["prediction"]["sigma_data"], rel=0.05)
