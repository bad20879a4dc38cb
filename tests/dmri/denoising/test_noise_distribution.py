"""The noise distribution is read from the data: magnitudes of one coil or several, and what is no
magnitude and must not be corrected as one.
"""

from __future__ import annotations

import numpy as np
import pytest

from unfog.dmri.denoising.classical import Denoised, denoise
from unfog.dmri.denoising.noise_distribution import NoiseDistribution, mean_over_deviation
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import fibonacci

SHAPE, N0, N, SIGMA = (20, 20, 10), 4, 32, 100.0
TABLE = GradientTable(
    np.r_[np.zeros(N0), np.full(N, 1000.0)],
    np.concatenate([np.zeros((N0, 3)), fibonacci(2 * N)[:N].numpy()]),
)
X, Y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
HEAD = X**2 + Y**2 < 0.6


def clean() -> np.ndarray:
    """Signals of tensors that turn, in a head in air."""
    axis = np.stack([np.cos(X), np.sin(X), 0 * X], -1)
    along = (axis @ TABLE.directions.T) ** 2
    signal = 1000 * np.exp(-TABLE.bvals / 1000 * (0.35 + 1.3 * along))
    return np.where(HEAD[..., None], signal, 0.0)


def noisy(kind: str, coils: int = 1) -> np.ndarray:
    """The scan as real parts, their magnitudes, or the root of the sum of squares of coils."""
    rng, signal = np.random.default_rng(0), clean()
    if kind != "magnitude":
        real = signal + SIGMA * rng.standard_normal(signal.shape)
        return real if kind == "real" else np.abs(real)
    parts = SIGMA * rng.standard_normal((2 * coils, *signal.shape))
    parts[::2] += signal / np.sqrt(coils)
    return np.sqrt((parts**2).sum(0))


def low_rank(data: np.ndarray, **options: object) -> Denoised:
    return denoise(data.astype(np.float32), TABLE, HEAD, **options)  # type: ignore[arg-type]


def error(signal: np.ndarray) -> float:
    """The root mean square error inside, of weighted volumes."""
    return float(np.sqrt(np.mean((signal - clean())[HEAD][:, N0:] ** 2)))


@pytest.mark.parametrize("kind", ["real", "half"])
def test_what_is_no_magnitude_is_not_corrected(kind: str) -> None:
    denoised = low_rank(noisy(kind))
    assert not denoised.distribution.magnitudes
    assert not denoised.unbiased
    np.testing.assert_array_equal(denoised.signal, low_rank(noisy(kind), unbias=False).signal)
    assert "no bias was taken away" in denoised.notes[0]
    # The level is that of the values themselves.
    assert abs(np.median(denoised.sigma[HEAD]) / SIGMA - 1) < 0.06


def test_a_wrong_correction_would_have_done_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    data = noisy("real")
    kept = error(low_rank(data).signal)
    monkeypatch.setattr(
        "unfog.dmri.denoising.classical.read_distribution", lambda *_: NoiseDistribution()
    )
    assert error(low_rank(data).signal) > 1.1 * kept


@pytest.mark.parametrize("coils", [1, 2, 4, 8])
def test_air_tells_how_many_coils(coils: int) -> None:
    denoised = low_rank(noisy("magnitude", coils))
    assert denoised.distribution.magnitudes
    assert denoised.distribution.below == 0
    assert denoised.coils == denoised.distribution.coils == coils
    assert any(f"{coils} combined coils" in text for text in denoised.notes) == (coils > 1)
    # The bias of several coils goes with their number, and not with one.
    if coils > 1:
        bias = [
            float(np.mean((one.signal - clean())[HEAD][:, N0:]))
            for one in (denoised, low_rank(noisy("magnitude", coils), coils=1))
        ]
        assert abs(bias[0]) < 0.25 * abs(bias[1])


def test_a_number_that_air_contradicts_is_said() -> None:
    denoised = low_rank(noisy("magnitude"), coils=4)
    assert denoised.coils == 4
    assert "looks like 1" in denoised.notes[0]
    assert "4 was given" in denoised.notes[0]


def test_without_air_one_coil_is_taken() -> None:
    data = np.where(HEAD[..., None], noisy("magnitude", 4), 0)
    denoised = low_rank(data)
    assert denoised.distribution.coils is None
    assert denoised.coils == 1
    # And what is 0 in every volume stays 0, in signal, noise and expected error.
    for values in (denoised.signal, denoised.sigma, denoised.expected_error):
        assert not values[~HEAD].any()


def test_the_ratio_of_rayleigh_noise() -> None:
    assert abs(mean_over_deviation(1) - np.sqrt(np.pi / (4 - np.pi))) < 1e-12


@pytest.mark.parametrize("coils", [1, 2, 4])
def test_ratios_of_chi_noise(coils: int) -> None:
    rng = np.random.default_rng(1)
    y = np.sqrt((rng.standard_normal((2 * coils, 400_000)) ** 2).sum(0))
    assert abs(y.mean() / y.std() - mean_over_deviation(coils)) < 0.01
