"""Directions held out tell whether a prior serves: else ridge regression completes, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.dmri import harmonics
from unfog.dmri.denoising.complete import complete
from unfog.dmri.denoising.held_out import HeldOut
from unfog.dmri.denoising.ridge import ridge
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.shells import basis

N0, N, SIDE = 4, 40, 12
DIRECTIONS = harmonics.fibonacci(2 * N)[:N].numpy()
TABLE = GradientTable(
    np.r_[np.zeros(N0), np.full(N, 1000.0)], np.concatenate([np.zeros((N0, 3)), DIRECTIONS])
)


class Inventing(Denoiser):
    """Adds fibres that are not there, of a random direction in every voxel."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.process, self.size = EDM(4.0), size

    def forward(self, x_t, t, **condition):
        invented = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(0))
        return Posterior(x_t + self.size * invented)


class Keeping(Denoiser):
    """Takes nothing for noise."""

    def __init__(self) -> None:
        super().__init__()
        self.process = EDM(4.0)

    def forward(self, x_t, t, **condition):
        return Posterior(x_t)


def scan(sigma: float = 0.04) -> tuple[np.ndarray, np.ndarray]:
    """Signals of order 2 that vary over the grid, without noise and with."""
    place = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 3, indexing="ij"))
    x = torch.zeros(15, SIDE, SIDE, SIDE)
    x[0], x[1:4] = 1.6 + 0.2 * place[0], 0.3 * place
    weighted = x.movedim(0, -1) @ basis(DIRECTIONS).T.float()
    clean = torch.cat([torch.ones(SIDE, SIDE, SIDE, N0), weighted], -1).numpy()
    return clean, clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)


KEPT = N0 + well_spread(DIRECTIONS, 20)
LEFT = np.setdiff1d(np.arange(N0, N0 + N), KEPT)
GIVEN = np.r_[np.arange(N0), KEPT]


@pytest.mark.parametrize("size", [0.1, 0.5])
def test_a_prior_of_other_anatomy_is_not_used(size: float) -> None:
    clean, noisy = scan()
    data = noisy[..., GIVEN].astype(np.float32)
    done = complete(Inventing(size), data, TABLE[GIVEN], TABLE[LEFT], unbias=False)
    assert done.check is not None
    assert done.check.prior_is_worse
    known = data[..., N0:].reshape(-1, len(KEPT))
    expected = ridge(known, TABLE.directions[KEPT], TABLE.directions[LEFT])
    np.testing.assert_allclose(done.signal.reshape(-1, len(LEFT)), expected, atol=1e-5)
    # And the deviation is that of its error.
    error = np.sqrt(np.mean((done.signal - clean[..., LEFT]) ** 2))
    assert 0.7 < np.sqrt(np.mean(done.std**2)) / error < 1.5


def test_a_prior_that_serves_is_used() -> None:
    clean, noisy = scan()
    data = noisy[..., GIVEN].astype(np.float32)
    done = complete(Keeping(), data, TABLE[GIVEN], TABLE[LEFT], unbias=False)
    assert done.check is not None
    assert not done.check.prior_is_worse
    known = data[..., N0:].reshape(-1, len(KEPT))
    plain = ridge(known, TABLE.directions[KEPT], TABLE.directions[LEFT])
    assert np.abs(done.signal.reshape(plain.shape) - plain).max() > 0.01
    error = np.sqrt(np.mean((done.signal - clean[..., LEFT]) ** 2))
    assert error < 0.04


def test_a_deviation_that_is_too_small_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    _, noisy = scan()
    data = noisy[..., GIVEN].astype(np.float32)
    plain = complete(Keeping(), data, TABLE[GIVEN], TABLE[LEFT], unbias=False)
    told = HeldOut(prior=0.09, ridge=0.2, noise=0.04, said=0.02)
    assert abs(told.misfit - np.sqrt(0.09**2 - 0.04**2) / 0.02) < 1e-9
    monkeypatch.setattr("unfog.dmri.denoising.complete.held_out", lambda *_: told)
    wide = complete(Keeping(), data, TABLE[GIVEN], TABLE[LEFT], unbias=False)
    np.testing.assert_array_equal(wide.signal, plain.signal)
    np.testing.assert_allclose(wide.std, told.misfit * plain.std, rtol=1e-5)


def test_few_directions_have_none_to_spare() -> None:
    _, noisy = scan()
    given = np.r_[np.arange(N0), N0 + well_spread(DIRECTIONS, 8)]
    data = noisy[..., given].astype(np.float32)
    assert complete(Keeping(), data, TABLE[given], TABLE[LEFT], unbias=False).check is None


def test_ridge_is_exact_without_noise_and_better_than_least_squares_with_it() -> None:
    clean, noisy = scan()
    rows, data = (x[..., N0:].reshape(-1, N) for x in (clean, noisy))
    kept, left = KEPT - N0, LEFT - N0
    exact = ridge(rows[:, kept], DIRECTIONS[kept], DIRECTIONS[left])
    np.testing.assert_allclose(exact, rows[:, left], atol=1e-4)
    regression = ridge(data[:, kept], DIRECTIONS[kept], DIRECTIONS[left])
    b, at = (basis(DIRECTIONS[k]).numpy() for k in (kept, left))
    squares = data[:, kept] @ np.linalg.pinv(b).T @ at.T
    errors = [float(np.sqrt(np.mean((x - rows[:, left]) ** 2))) for x in (regression, squares)]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 1, 0), (0.6, 0, 0.8)])
def test_the_deviation_holds_where_volumes_differ_by_more_than_noise(
    axis: tuple[float, float, float],
) -> None:
    """Parallel fibres, hardly any noise, and volumes whose gain differs smoothly over the
    grid: what low rank takes for signal is no function of direction.
    """
    random, place = np.random.default_rng(0), np.linspace(-1, 1, SIDE)
    x, y, _ = np.meshgrid(place, place, place, indexing="ij")
    along = 1.4 + 0.3 * x[..., None]
    decay = np.exp(-1.5 * (0.2 + along * (DIRECTIONS @ np.array(axis)) ** 2))
    slopes = random.standard_normal((3, N0 + N))
    gain = 1 + 0.02 * (x[..., None] * slopes[0] + y[..., None] * slopes[1] + slopes[2])
    clean = np.concatenate([np.ones((SIDE, SIDE, SIDE, N0)), decay], -1) * gain
    noisy = clean + 0.002 * random.standard_normal(clean.shape)
    kept = N0 + well_spread(DIRECTIONS, 24)
    left, given = np.setdiff1d(np.arange(N0, N0 + N), kept), np.r_[np.arange(N0), kept]
    table = GradientTable(np.r_[np.zeros(N0), np.full(N, 1500.0)], TABLE.directions)
    data = noisy[..., given].astype(np.float32)
    done = complete(Keeping(), data, table[given], table[left], unbias=False)
    assert done.check is not None
    error = np.sqrt(np.mean((done.signal - clean[..., left]) ** 2))
    assert 0.7 < error / np.sqrt(np.mean(done.std**2)) < 1.4
    # What low rank's own expected error makes of it is several times too small.
    assert error > 3 * done.check.said
