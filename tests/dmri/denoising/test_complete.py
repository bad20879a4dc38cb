"""Completion: what was measured is what denoising gives, band-limited signals are exact anywhere,
errors travel as their leverage says.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.core.denoiser import Denoiser, InBfloat16, Posterior
from unfog.core.process import EDM
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.denoising.blind import denoise_blind
from unfog.dmri.denoising.complete import complete
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.shells import RMS, basis, shells
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import make_phantom, real_gradients
from unfog.errors import InputError
from unfog.runs.folder import priors
from unfog.runs.run import Run

N0, SIDE = 4, 12


class Shrinking(Denoiser):
    """Takes a part of everything for noise."""

    def __init__(self, kept=1.0):
        super().__init__()
        self.process, self.kept = EDM(4.0), kept

    def forward(self, x_t, t, **condition):
        return Posterior(self.kept * x_t)


def table(n=40, b=1000.0, first=0):
    directions = np.concatenate([np.zeros((N0, 3)), harmonics.fibonacci(2 * n)[:n].numpy()[first:]])
    return GradientTable(np.r_[np.zeros(N0), np.full(n - first, b)], directions)


def signal(at):
    """A smooth scan to order 4 under the table ``at``, about 1 at b = 0: (12, 12, 12, volumes)."""
    place = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 3, indexing="ij"))
    x = torch.zeros(15, SIDE, SIDE, SIDE)
    x[0], x[1:4], x[8:11] = 1.6 + 0.2 * place[0], 0.15 * place, 0.03 * place**2
    weighted = x.movedim(0, -1) @ basis(at.directions[N0:]).T.float()
    return torch.cat([torch.ones(SIDE, SIDE, SIDE, N0), weighted], -1).numpy()


def scan(at, sigma=0.05):
    truth = torch.from_numpy(signal(at)).movedim(3, 0)
    return add_magnitude_noise(truth, sigma, generator(0, "noise")).movedim(0, 3).numpy()


@pytest.mark.parametrize("kept", [1.0, 0.9])
def test_all_directions_measured_is_denoising(kept):
    y = scan(table())
    order = np.random.default_rng(0).permutation(40 + N0)
    found = complete(Shrinking(kept), y, table(), table()[order])
    denoised, weighted = denoise_blind(Shrinking(kept), y, table()).signal[..., order], order >= N0
    np.testing.assert_allclose(found.signal[..., weighted], denoised[..., weighted], atol=1e-5)
    # At b = 0 a completion gives one image, about which those measured scatter.
    b0 = found.signal[..., ~weighted]
    assert float(np.ptp(b0, axis=3).max()) == 0
    assert float(np.abs(denoised[..., ~weighted] - b0).mean()) < 0.2 * 0.05
    assert found.std.shape == y.shape
    assert float(found.std.min()) > 0


def test_a_flipped_direction_is_the_same():
    y, there = scan(table()), table()
    flipped = GradientTable(there.bvals, -there.directions)
    np.testing.assert_allclose(
        complete(Shrinking(), y, there, flipped).signal,
        complete(Shrinking(), y, there, there).signal,
        atol=1e-5,
    )


def test_signals_of_order_4_are_exact_anywhere():
    """From 20 directions without noise, at 20 others."""
    measured, other = table(20), table(33, first=13)
    found = complete(Shrinking(), signal(measured), measured, other)
    np.testing.assert_allclose(found.signal, signal(other), atol=2e-3)


def test_few_directions_give_the_likeliest_coefficients():
    """The mean of Gaussian coefficients with the simulation's variances, given noise-free signals:
    by conditioning, in closed form.
    """
    shell = shells(table(9), least=6)[0]
    b, spread = shell.matrix, torch.diag(torch.tensor(RMS[1:], dtype=torch.float64) ** 2)
    gain = spread @ b.T @ torch.linalg.inv(b @ spread @ b.T)
    torch.testing.assert_close(shell.inverse, gain, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(
        b @ shell.inverse, torch.eye(9, dtype=torch.float64), atol=1e-9, rtol=1e-9
    )


def test_combinations_that_directions_leave_free_are_not_fitted_to_noise():
    """Of 16 directions whose harmonics are nearly dependent; spread evenly, it is least squares."""
    even = shells(table(20), least=6)[0]
    torch.testing.assert_close(even.inverse, torch.linalg.pinv(even.matrix), atol=1e-9, rtol=1e-9)
    # Directions near a plane and its axis say little of what lies between.
    turn = np.linspace(0, np.pi, 15, endpoint=False)
    height = 0.25 * np.cos(5 * turn) + 0.15 * np.cos(3 * turn)
    near = np.stack([np.cos(turn), np.sin(turn), height], 1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    directions = np.concatenate([np.zeros((1, 3)), near, [[0, 0, 1]]])
    shell = shells(GradientTable(np.r_[0, np.full(16, 1000.0)], directions), least=6)[0]
    source, spread = generator(0), torch.tensor(RMS[1:], dtype=torch.float64)
    c = spread * torch.randn(2000, 15, generator=source, dtype=torch.float64)
    y = c @ shell.matrix.T + 0.02 * torch.randn(2000, 16, generator=source, dtype=torch.float64)

    def error(inverse):
        return float((y @ inverse.T - c).square().mean().sqrt())

    assert error(shell.inverse) < 0.5 * error(torch.linalg.pinv(shell.matrix))
    assert shell.level == pytest.approx(np.sqrt(4 * np.pi / 16))


@pytest.mark.parametrize("n", [10, 20])
def test_what_is_not_known_is_the_posterior_variance(n):
    """Of Gaussian coefficients and white errors, against draws: the error of the posterior mean,
    which is linear.
    """
    shell, at, sigma = shells(table(n), least=6)[0], basis(harmonics.fibonacci(7).numpy()), 0.03
    spread, source = torch.tensor(RMS[1:], dtype=torch.float64), generator(0)
    c = spread * torch.randn(20000, 15, generator=source, dtype=torch.float64)
    y = c @ shell.matrix.T + sigma * torch.randn(20000, n, generator=source, dtype=torch.float64)
    b, prior = shell.matrix, torch.diag(spread**2)
    mean = (
        y
        @ (
            prior
            @ b.T
            @ torch.linalg.inv(b @ prior @ b.T + sigma**2 * torch.eye(n, dtype=torch.float64))
        ).T
    )
    variance = ((mean - c) @ at.T).square().mean(0)
    torch.testing.assert_close(
        shell.variance_at(at, torch.full((2, 3), sigma))[1, 2], variance, rtol=0.06, atol=0
    )


def test_outside_the_mask_is_nothing():
    mask = np.zeros((SIDE, SIDE, SIDE), bool)
    mask[2:10, 2:10, 2:10] = True
    found = complete(Shrinking(), scan(table()), table(), table(44), mask)
    assert not found.signal[~mask].any()
    assert not found.std[~mask].any()
    assert (found.std[mask] > 0).all()


@pytest.mark.parametrize(
    ("measured", "target", "words"),
    [
        (table(), table(b=2000.0), "b = 2000 was not measured, and b = 1000 was"),
        (table(5), table(), "has 5 directions and needs 6"),
        (table()[N0:], table(), "no volume at b = 0"),
    ],
)
def test_bad_tables(measured, target, words):
    with pytest.raises(InputError, match=words):
        complete(Shrinking(), np.ones((4, 4, 4, len(measured)), np.float32), measured, target)


@pytest.mark.slow
@pytest.mark.skipif("dmri-refiner" not in priors(), reason="no weights in this package")
@pytest.mark.parametrize("count", [12, 24])
def test_errors_are_as_large_as_they_are_said_to_be(count):
    """On a phantom that shares nothing with the simulation, for directions that were not
    measured.
    """
    gradients = real_gradients()
    phantom = make_phantom(gradients, 3, mni_anatomy((28, 28, 14)))
    clean = torch.from_numpy(phantom.signal).float().movedim(3, 0)
    y = add_magnitude_noise(clean, phantom.b0 / 20, generator(3, "noise")).movedim(0, 3).numpy()
    weighted = np.flatnonzero(~gradients.b0)
    chosen = np.append(
        np.flatnonzero(gradients.b0), weighted[well_spread(gradients.directions[weighted], count)]
    )
    held = np.setdiff1d(weighted, chosen)
    found = complete(
        InBfloat16(Run.open("dmri-refiner").denoiser),
        y[..., chosen],
        gradients[chosen],
        gradients,
        phantom.mask,
    )
    z = ((found.signal - phantom.signal) / np.where(phantom.mask[..., None], found.std, 1))[
        phantom.mask
    ][:, held]
    assert 0.8 < float(np.sqrt(np.mean(z**2))) < 1.3
