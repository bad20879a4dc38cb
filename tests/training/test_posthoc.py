"""Averages made after training are those that would have been tracked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from unfog.errors import InputError
from unfog.training import snapshots
from unfog.training.ema import EMA, exponent, power_function
from unfog.training.posthoc import Profile, factors, inner_products, reconstruct
from unfog.training.snapshots import Snapshot, stored

LENGTHS, STEPS, EVERY = (0.05, 0.1), 2000, 100


class Weights(nn.Module):
    """One number that moves, one that stays, and a whole number."""

    def __init__(self):
        super().__init__()
        self.moves, self.stays = (
            nn.Parameter(torch.zeros(1).double()),
            nn.Parameter(torch.full((1,), 0.7, dtype=torch.float64)),
        )
        self.register_buffer("count", torch.tensor(0))


def paths():
    """Trajectories of a weight: falling to a limit with an oscillation, as in training, and a
    random walk.
    """
    t = torch.arange(1, STEPS + 1).double()
    walk = torch.randn(
        STEPS, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).cumsum(0) / math.sqrt(STEPS)
    return {"smooth": torch.exp(-3 * t / STEPS) + 0.1 * torch.sin(40 * t / STEPS), "walk": walk}


@pytest.fixture(scope="module", params=["smooth", "walk"])
def tracked(request, tmp_path_factory):
    """A run folder with snapshots of a trajectory, the trajectory, and averages that were tracked
    all along.
    """
    run, path = tmp_path_factory.mktemp("posthoc"), paths()[request.param]
    module = Weights()
    averages = {
        length: EMA(module, power_function(length)) for length in (*LENGTHS, 0.06, 0.08, 0.15, 0.2)
    }
    with torch.no_grad():
        for step in range(1, STEPS + 1):
            module.moves.fill_(path[step - 1])
            module.count.fill_(step)
            for average in averages.values():
                average.update()
            if step % EVERY == 0:
                states = {length: averages[length].state_dict() for length in LENGTHS}
                snapshots.save(run, Snapshot(step, step, states))
    return run, path, averages


def test_length_is_the_profiles_standard_deviation():
    tau = (np.arange(200_000) + 0.5) / 200_000
    for length in (0.02, 0.05, 0.1, 0.25):
        gamma = exponent(length)
        p = (gamma + 1) * tau**gamma
        mean = (p * tau).mean()
        assert math.sqrt((p * (tau - mean) ** 2).mean()) == pytest.approx(length, rel=1e-4)


def test_inner_products_are_the_integrals():
    tau = (np.arange(400_000) + 0.5) / 400_000 * 30
    profiles = [Profile(0.05, 30), Profile(0.1, 30), Profile(0.2, 12), Profile(0.05, 21)]

    def curve(p):
        gamma = exponent(p.length)
        return np.where(tau < p.updates, (gamma + 1) * (tau / p.updates) ** gamma / p.updates, 0)

    wanted = [[(curve(a) * curve(b)).mean() * 30 for b in profiles] for a in profiles]
    np.testing.assert_allclose(inner_products(profiles, profiles), wanted, rtol=1e-4)


def test_the_average_is_its_profile_over_the_steps(tracked):
    """Update k counts the integral of the profile over the k-th step: no approximation in the
    step.
    """
    _, path, averages = tracked
    for length, average in averages.items():
        share = (torch.arange(STEPS + 1).double() / STEPS) ** (exponent(length) + 1)
        assert float(average.state_dict()["moves"]) == pytest.approx(
            float((share.diff() * path).sum()), abs=1e-12
        )


@pytest.mark.parametrize(
    ("length", "bound"), [(0.06, 2e-4), (0.08, 2e-4), (0.15, 1e-3), (0.2, 5e-3)]
)
def test_a_reconstruction_is_the_tracked_average(tracked, length, bound):
    run, path, averages = tracked
    weights, facts = reconstruct(stored(run), length)
    miss = abs(float(weights["moves"]) - float(averages[length].state_dict()["moves"]))
    assert miss < bound * float(path.max() - path.min())
    assert float(weights["stays"]) == pytest.approx(0.7, abs=1e-12)
    assert int(weights["count"]) == STEPS
    assert facts["averages used"] == 2 * STEPS // EVERY


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("updates", [STEPS, STEPS // 2, EVERY])
def test_a_stored_average_comes_back(tracked, length, updates):
    run, _, _ = tracked
    (saved,) = (one for one in stored(run) if one.length == length and one.updates == updates)
    weights, facts = reconstruct(stored(run), length, updates)
    assert float(weights["moves"]) == pytest.approx(float(saved.load()["moves"]), abs=1e-9)
    assert facts["profile error"] < 1e-6


def test_factors_sum_to_one_and_more_snapshots_do_better():
    misses = []
    for count in (2, 8, 32):
        some = [
            Profile(length, 1000 * (k + 1) // count) for k in range(count) for length in LENGTHS
        ]
        x, miss = factors(some, Profile(0.07, 1000))
        assert x.sum() == pytest.approx(1, abs=1e-9)
        misses.append(miss)
    assert misses[0] > misses[1] > misses[2]
    assert misses[2] < 1e-3


def test_what_cannot_be_made_is_one_sentence(tracked, tmp_path):
    run, _, _ = tracked
    for length in (0.0, -1.0, 0.3, math.nan):
        with pytest.raises(InputError, match="length of an average"):
            reconstruct(stored(run), length)
    for updates in (EVERY - 1, STEPS + 1):
        with pytest.raises(InputError, match="no average can end"):
            reconstruct(stored(run), 0.08, updates)
    with pytest.raises(InputError, match="no snapshots"):
        stored(tmp_path)
    folder = snapshots.save(
        tmp_path, Snapshot(3, 3, {0.05: {"w": torch.ones(2)}, 0.1: {"w": torch.ones(2)}})
    )
    (folder / "average-0.05.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"step-00000003 .* is damaged: average-0.05"):
        stored(tmp_path)
    (folder / "state.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read"):
        stored(tmp_path)


def test_a_training_run_keeps_its_snapshots(tiny, tmp_path):
    """At its interval and at its end; the run itself is what it is without snapshots."""
    tiny.train(tmp_path / "run", snapshot_every=5)
    tiny.train(tmp_path / "plain")
    assert sorted(p.name for p in (tmp_path / "run/snapshots").iterdir()) == [
        "step-00000005",
        "step-00000010",
        "step-00000012",
    ]
    same = ("weights.safetensors", "ema.safetensors", "metrics.jsonl")
    run, plain = tiny.content(tmp_path / "run"), tiny.content(tmp_path / "plain")
    assert all(run[name] == plain[name] for name in same)
    weights, _ = reconstruct(stored(tmp_path / "run"), 0.1)
    last = next(
        one for one in stored(tmp_path / "run") if one.length == 0.1 and one.updates == 12
    ).load()
    assert all(
        torch.allclose(weights[name].double(), last[name].double(), atol=1e-6) for name in last
    )
