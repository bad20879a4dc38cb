"""Sounds of a known spectrum: what samplers draw has it, and 6 calibrated steps nearly as well."""

import pytest
import torch

from unfog.audio.metrics import log_spectral_distance
from unfog.audio.oracle import ar_spectrum, harmonic_spectrum, periodogram, sound_oracle
from unfog.core.process import processes
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.runs.sample import sample
from unfog.sampling.calibration.calibrate import calibrate, fine
from unfog.sampling.grids import grids
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers

SAMPLES, DRAWS = 256, 1000
SPECTRA = {
    "ar2": ar_spectrum(SAMPLES, [1.6, -0.81]),  # a resonance at a fourteenth of the rate
    "harmonic": harmonic_spectrum(SAMPLES, 9),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_a_sampler_draws_the_known_spectrum(name):
    power = SPECTRA[name]
    oracle = sound_oracle(processes.build({"name": "edm", "sigma_max": 8.0}), power)
    grid = {"name": "karras", "sigma_max": 8.0, "sigma_min": 1e-4}
    x = sample(oracle, (DRAWS, 1, SAMPLES), sampler="heun", steps=50, grid=grid)
    # A mean of 1000 periodograms errs by .14 dB itself.
    assert log_spectral_distance(periodogram(x), power) < 1
    # And the wrong spectrum is far off.
    assert log_spectral_distance(periodogram(x), power.roll(20)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECTRA)
def test_six_calibrated_steps_are_within_a_tenth_of_fifty(name):
    power = SPECTRA[name]
    oracle = sound_oracle(processes.build({"name": "edm", "sigma_max": 2.0}), power)
    # Draws from the covariance, 6 calls.
    grid = {"name": "log-snr", "sigma_max": 2.0, "sigma_min": 0.01}
    how = {"sampler": "calibrated-draws", "grid": grid}
    few = sample(oracle, (DRAWS, 1, SAMPLES), steps=6, seed=3, **how)
    grid = {"name": "karras", "sigma_max": 2.0, "sigma_min": 1e-4}
    many = sample(oracle, (DRAWS, 1, SAMPLES), steps=50, sampler="heun", grid=grid, seed=3)
    far, near = (log_spectral_distance(periodogram(x), power) for x in (few, many))
    assert far < 1.1 * near


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECTRA)
def test_a_calibrated_solver_of_six_calls_ends_where_fifty_steps_do(name):
    power = SPECTRA[name]
    oracle = sound_oracle(processes.build({"name": "edm", "sigma_max": 2.0}), power)
    first = torch.ones((), dtype=torch.float64)
    learned, noise = (
        torch.stack([torch.randn(1, SAMPLES, generator=g) for g in generators(seed, range(n))])
        for seed, n in ((0, 64), (1, 200))
    )
    solver = calibrate([fine(oracle, learned, first)], first, 6).solver
    start, randomness = 2.0 * noise, generators(2, range(200))
    few = solve(oracle, start, solver.times, solver, randomness=randomness)
    grid = grids.build({"name": "karras", "sigma_max": 2.0, "sigma_min": 1e-4})
    fifty = grid(oracle.process, 50)
    many = solve(oracle, start, fifty, samplers.build("heun"), randomness=randomness)
    assert float((few - many).norm() / many.norm()) < 0.01
    six = grid(oracle.process, 6)
    plain = solve(oracle, start, six, samplers.build("euler"), randomness=randomness)
    assert float((plain - many).norm() / many.norm()) > 0.05


def test_the_spectra_are_what_they_say():
    for power in SPECTRA.values():
        assert float(power.sum()) == pytest.approx(0.01)
    # The recursion itself has the spectrum of an autoregressive sound.
    a, x = (1.6, -0.81), torch.zeros(400, SAMPLES + 200, dtype=torch.float64)
    n = torch.randn(400, SAMPLES + 200, dtype=torch.float64, generator=generators(0, [0])[0])
    for t in range(2, x.shape[1]):
        x[:, t] = a[0] * x[:, t - 1] + a[1] * x[:, t - 2] + n[:, t]
    # Of a segment, under a window, beside the tapered spectrum.
    window = torch.hann_window(SAMPLES, dtype=torch.float64)
    measured = torch.fft.fft(x[:, 200:] * window).abs().square().mean(0)
    expected = SPECTRA["ar2"] * float(measured.sum() / SPECTRA["ar2"].sum())
    assert log_spectral_distance(measured[5:128], expected[5:128]) < 0.6


def test_bad_sounds_are_refused():
    with pytest.raises(InputError, match="grows without bound"):
        ar_spectrum(64, [2.0, -1.0])
    with pytest.raises(InputError, match="do not fit"):
        harmonic_spectrum(64, 9)
