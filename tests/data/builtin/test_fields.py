"""Fields made by code: the spectrum asked for, a flow that keeps what it must, splits that share
nothing.
"""

import math

import pytest
import torch

from unfog.data import open_dataset
from unfog.data.builtin import turbulence
from unfog.data.builtin.catalogue import fetch_dataset, summary
from unfog.data.builtin.navier_stokes import Flow, enstrophy
from unfog.data.builtin.random_field import coloured, power_law
from unfog.errors import InputError

SIZE = 32
X, Y = (
    2 * torch.pi * v / SIZE
    for v in torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="xy")
)


def vortices(size=SIZE, seed=0):
    """A smooth random vorticity, of deviation 3."""
    power = power_law(size, 4.0)
    return 3 * coloured(
        torch.randn(
            2, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        ),
        power,
    )


def test_random_fields_have_the_spectrum_asked_for():
    """Each mode's mean power over 256 fields is P(k) within five standard errors of a chi-square
    mean; mean 0 and variance 1.
    """
    data = open_dataset("random-field", split="test", size=16, slope=2.5)
    x = data.batch(range(len(data)))["x"][:, 0].double()
    found = (torch.fft.fft2(x).abs() / 16**2).square().mean(0)
    assert float(data.power.sum()) == pytest.approx(1)
    assert float(data.power[0, 2] / data.power[0, 4]) == pytest.approx(2**2.5)
    kept = data.power > 0
    assert float((found[kept] / data.power[kept] - 1).abs().max()) < 5 * (2 / len(data)) ** 0.5
    assert float(x.mean((1, 2)).abs().max()) < 1e-6
    assert float(x.var()) == pytest.approx(1, abs=0.05)


def test_the_splits_of_random_fields_share_nothing_and_are_the_same_again():
    first, again, other = (
        open_dataset("random-field", split=s, size=8).batch(range(4))["x"]
        for s in ("test", "test", "validation")
    )
    assert torch.equal(first, again)
    assert float((first - other).abs().min()) > 0
    with pytest.raises(InputError, match="split of random-field"):
        open_dataset("random-field", split="tests")
    with pytest.raises(InputError, match="4 values or more"):
        open_dataset("random-field", size=2)


@pytest.mark.parametrize("viscosity", [0.0, 0.05])
def test_the_taylor_green_vortex_decays_as_it_must(viscosity):
    """w = 2 cos x cos y exp(-2 nu t), exactly: one wavenumber does not advect itself."""
    start = 2 * torch.cos(X) * torch.cos(Y)
    found = Flow(SIZE, viscosity).run(start[None], 50, 0.02)
    expected = start * math.exp(-2 * viscosity * 50 * 0.02)
    assert float((found[0] - expected).abs().max()) < 1e-10


def test_without_viscosity_energy_and_enstrophy_are_kept():
    """To the error of the time step, which falls by its fourth power; the vorticity itself moves
    far.
    """
    flow, start = Flow(SIZE, 0.0), Flow(SIZE, 0.0).run(vortices(), 0, 0.01)
    drift = []
    for steps in (100, 200):
        end = flow.run(start, steps, 1.0 / steps)
        drift.append(
            max(float((f(end) / f(start) - 1).abs().max()) for f in (flow.energy, enstrophy))
        )
    assert drift[1] < 1e-6
    assert drift[1] < drift[0] / 10
    assert float((end - start).std() / start.std()) > 0.5


def test_viscosity_takes_energy_at_its_own_rate():
    """dE/dt = -2 nu enstrophy."""
    flow, dt = Flow(SIZE, 0.02), 1e-3
    start = flow.run(vortices(), 0, dt)
    before, after = start, flow.run(start, 2, dt)
    middle = flow.run(start, 1, dt)
    rate = (flow.energy(after) - flow.energy(before)) / (2 * dt)
    assert torch.allclose(rate, -2 * 0.02 * enstrophy(middle), rtol=1e-5)


def test_the_velocity_has_no_divergence_and_curls_to_the_vorticity():
    flow = Flow(SIZE, 0.0)
    w = flow.run(vortices(), 0, 0.01)
    (u, v), k = flow.velocity(w), torch.fft.fftfreq(SIZE, 1 / SIZE, dtype=torch.float64)

    def slope(x, axis):
        along = k.view(-1, 1) if axis == -2 else k
        return torch.fft.ifft2(1j * along * torch.fft.fft2(x)).real

    assert float((slope(u, -1) + slope(v, -2)).abs().max()) < 1e-10
    assert torch.allclose(slope(v, -1) - slope(u, -2), w, atol=1e-10)
    with pytest.raises(InputError, match="even number of points"):
        Flow(9, 0.0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path))
    return tmp_path


def test_turbulence_is_simulated_once_and_split_by_run(cache, monkeypatch):
    monkeypatch.setattr(turbulence, "DT", 0.2)
    options = {"size": 8, "runs": 28}
    parts = {
        split: open_dataset("turbulence", split=split, **options) for split in turbulence.SPLITS
    }
    assert [sorted(set(data.run.tolist())) for data in (parts["test"], parts["validation"])] == [
        [0, 14],
        [7, 21],
    ]
    assert sorted(r for data in parts.values() for r in set(data.run.tolist())) == list(range(28))
    assert all(
        len(data) == len(data.run) == len(turbulence.TIMES) * len(set(data.run.tolist()))
        for data in parts.values()
    )
    monkeypatch.setattr(turbulence, "simulate", None)  # it lies in the cache now
    again = open_dataset("turbulence", split="test", **options)
    assert again.fingerprint == parts["test"].fingerprint
    file = turbulence.cache_file(8, 28)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged; delete it"):
        open_dataset("turbulence", **options)


def test_a_run_of_turbulence_does_not_depend_on_the_others(monkeypatch):
    monkeypatch.setattr(turbulence, "DT", 0.04)
    together, alone = turbulence.simulate(range(3), 16, 0), turbulence.simulate(range(2, 3), 16, 0)
    assert torch.allclose(together[2:], alone, atol=1e-9)
    assert float(turbulence.simulate(range(2, 3), 16, 1).sub(alone).abs().max()) > 0.1
    assert bool((together.var((0, 2, 3)).diff() < 0).all())  # it decays


def test_fields_are_listed_with_what_needs_no_download(cache, monkeypatch):
    assert summary("random-field")["fetched"] is True
    assert fetch_dataset("random-field") is None
    assert summary("turbulence")["fetched"] is False
    monkeypatch.setattr(
        turbulence, "simulate", lambda runs, size, seed: torch.zeros(len(runs), 6, 4, 4)
    )
    assert fetch_dataset("turbulence") == turbulence.cache_file()
    assert summary("turbulence")["fetched"] is True
    with pytest.raises(InputError, match="14 runs or more"):
        open_dataset("turbulence", runs=3)
