"""The simulation: fields of mean 0 and variance 1 with the correlation they are asked for, patches
that obey physics and their number.
"""

from __future__ import annotations

import pytest
import torch

from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.simulation import tissue
from unfog.dmri.simulation.simulate import (
    B_RANGE,
    CHANNELS,
    Simulation,
    grey_matter,
    simulate,
    white_matter,
)
from unfog.dmri.simulation.tissue import Space
from unfog.errors import InputError


def space(side=12, seed=0):
    return Space(side, generator(seed, "test"))


def test_fields_have_unit_variance_and_the_right_correlation():
    """exp(-d^2 / (4 w^2)) between voxels d apart, for white noise smoothed by a Gaussian of width
    w; to three standard errors.
    """
    x = space(12).smooth(4000, 1.5).view(-1, 12, 12, 12)
    middle = x[:, 4:8, 4:8, 4:8]
    assert float(middle.mean()) == pytest.approx(0, abs=0.02)
    assert float(x[:, 0, 0, 0].var()) == pytest.approx(1, abs=0.07)  # at a corner as in the middle
    assert float((middle**2).mean()) == pytest.approx(1, abs=0.07)
    neighbour = (x[:, 5, 5, 5] * x[:, 7, 5, 5]).mean()
    assert float(neighbour) == pytest.approx(float(torch.exp(torch.tensor(-4 / 9.0))), abs=0.05)
    rough = space(8, 1).power_law(2000, 0.5)
    assert float((rough**2).mean()) == pytest.approx(1, abs=0.03)


def test_fractions_and_weights_sum_to_one():
    for seed in range(20):
        at = space(6, seed)
        assert torch.allclose(tissue.tissues(at).sum(0), torch.ones(216), atol=1e-5)
        found = tissue.fibres(at)
        assert torch.allclose(found.weights.sum(0), torch.ones(216), atol=1e-5)
        assert torch.allclose(
            found.directions.norm(dim=0), torch.ones(len(found.weights), 216), atol=1e-5
        )
        share = tissue.blobs(at)
        assert bool(((share >= 0) & (share <= 0.9)).all())


def test_signals_obey_physics():
    """At b = 0 every tissue has response 1; with weighting no signal is below zero or above b = 0,
    up to truncation at order 4.
    """
    sphere = harmonics.design(harmonics.fibonacci(60), 4).float()
    for seed in range(6):
        weak = sphere @ white_matter(space(5, seed), 1e-6)
        assert torch.allclose(weak, torch.ones_like(weak), atol=1e-4)
        assert torch.allclose(grey_matter(space(5, seed), 1e-6), torch.ones(125), atol=1e-4)
        patch = simulate(6, generator(seed, "physics"))
        assert B_RANGE[0] <= patch.b <= B_RANGE[1]
        signal = torch.einsum("nc,cxyz->nxyz", sphere, patch.coefficients)
        assert float(signal.min()) > -0.06
        assert bool((signal <= patch.b0 + 0.06).all())


def test_a_patch_depends_on_its_number_alone():
    data = Simulation(side=8, count=50)
    assert data.shape == (CHANNELS, 8, 8, 8)
    together, alone = data.batch([3, 7, 3]), data.batch([7])
    assert torch.equal(together["x"][1], alone["x"][0])
    assert torch.equal(together["x"][0], together["x"][2])
    assert not torch.equal(together["x"][0], together["x"][1])
    assert together["shell"].shape == (3, 2)
    assert not torch.equal(Simulation(side=8, seed=1).batch([7])["x"], alone["x"])
    assert (
        Simulation(side=8, count=50).fingerprint
        == data.fingerprint
        != Simulation(side=8, count=50, seed=1).fingerprint
    )


def test_directions_are_isotropic():
    """Power within an order is the same for each m, since no direction is preferred: what lets one
    number scale an order.
    """
    power = Simulation(side=4).batch(range(200))["x"][:, 2:7].square().mean((0, 2, 3, 4))
    assert float(power.max() / power.min()) < 1.7


def test_bad_input():
    with pytest.raises(InputError, match="side of at least 4"):
        Simulation(side=2)
    with pytest.raises(InputError, match="samples 0 to 9"):
        Simulation(side=4, count=10).batch([10])


def test_the_recipe_trains_and_opens_again(tmp_path):
    """Two steps of the whole system on small patches; its config can be read back, and the denoiser
    takes the shell.
    """
    import unfog.builtin  # noqa: F401  (registers the recipe)
    from unfog.runs.run import Run
    from unfog.runs.train import train_system

    settings = ["data.side=8", "training.steps=2", "training.warmup=1", "network.channels=8"]
    train_system("dmri-prior", "dmri-simulation", tmp_path / "run", settings)
    run, batch = Run.open(tmp_path / "run"), Simulation(side=8).batch([0, 1])
    mean = run.denoiser(batch["x"], torch.tensor(0.01).double(), shell=batch["shell"]).mean
    assert mean.shape == batch["x"].shape
    assert bool(mean.isfinite().all())
