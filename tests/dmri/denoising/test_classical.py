"""Denoising by low rank, end to end on a scan whose truth is written down."""

from __future__ import annotations

import numpy as np
import pytest
from support.rings import Ring, with_noise

from unfog.dmri.denoising import classical
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.low_rank import optimal_shrinkage
from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


@pytest.fixture(scope="module")
def small(ring: Ring) -> np.ndarray:
    return ring.signal[:24, :24, :6]


@pytest.mark.parametrize("rule", [None, optimal_shrinkage], ids=["hard", "shrunk"])
def test_it_denoises_without_bias(
    small: np.ndarray, gradients: GradientTable, rule: object
) -> None:
    y = with_noise(small, 0.06)
    found = denoise(y, gradients, **({"rule": rule} if rule else {}))
    assert rms(found.signal - small) < 0.35 * rms(y - small)
    assert abs(float((found.signal - small).mean())) < 0.001 < float((y - small).mean())
    assert float(np.median(found.sigma)) == pytest.approx(0.06, rel=0.03)
    assert 0.9 < rms(found.expected_error) / rms(found.signal - small) < 1.5


def test_bias_can_be_kept(small: np.ndarray, gradients: GradientTable) -> None:
    y = with_noise(small, 0.1)
    kept, taken = (denoise(y, gradients, unbias=unbias).signal for unbias in (False, True))
    assert float((kept - y).mean()) == pytest.approx(0, abs=1e-3)
    assert float((taken - kept).mean()) < -0.005


def test_several_coils(small: np.ndarray, gradients: GradientTable) -> None:
    y = with_noise(small, 0.05, coils=8)
    wrong, right = (
        abs(float((denoise(y, gradients, coils=coils).signal - small).mean())) for coils in (1, 8)
    )
    assert right < 0.003 < wrong


def test_volumes_near_the_floor_are_weighted_by_their_own_noise(
    small: np.ndarray, gradients: GradientTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the volumes in the noise: with one noise for all volumes most components are taken
    for signal, the level is too low, and three times the error stays.
    """
    signal = small.copy()
    signal[..., np.flatnonzero(~gradients.b0)[::2]] *= 0.1
    y = with_noise(signal, 0.15)
    weighted = denoise(y, gradients)
    monkeypatch.setattr(classical, "ROUNDS", 0)
    even = denoise(y, gradients)
    assert float(np.median(weighted.sigma)) == pytest.approx(0.15, rel=0.02)
    assert float(np.median(even.sigma)) < 0.12
    assert rms(weighted.signal - signal) < 0.4 * rms(even.signal - signal)


def test_what_is_changed_in_the_scan_is_changed_in_the_answer(
    small: np.ndarray, gradients: GradientTable
) -> None:
    """Scaling, permuting volumes and turning the grid: the same answer, scaled, permuted and
    turned.
    """
    y = with_noise(small, 0.06)
    plain = denoise(y, gradients).signal
    order = np.random.default_rng(0).permutation(len(gradients))
    np.testing.assert_allclose(denoise(1000 * y, gradients).signal, 1000 * plain, rtol=2e-3, atol=2)
    np.testing.assert_allclose(
        denoise(y[..., order], gradients[order]).signal, plain[..., order], atol=2e-3
    )
    np.testing.assert_allclose(
        denoise(y[::-1].swapaxes(0, 2), gradients).signal, plain[::-1].swapaxes(0, 2), atol=2e-3
    )


def test_noise_alone_leaves_no_structure(gradients: GradientTable) -> None:
    """What is left of pure Rayleigh noise is flat: its mean in each volume, and no more."""
    y = with_noise(np.zeros((20, 20, 8, len(gradients))), 1.0)
    found = denoise(y, gradients, unbias=False).signal
    assert float(found.std()) < 0.15 * float(y.std())


def test_the_mask(small: np.ndarray, gradients: GradientTable) -> None:
    y = with_noise(small, 0.06)
    mask = np.zeros(y.shape[:3])
    mask[4:20] = 1
    found = denoise(y, gradients, mask)
    np.testing.assert_array_equal(found.signal[mask == 0], y[mask == 0])
    assert rms((found.signal - small)[mask > 0]) < 0.4 * rms((y - small)[mask > 0])


@pytest.mark.parametrize(
    "data",
    [np.full((6, 6, 4, 70), 5.0), np.zeros((6, 6, 4, 70)), np.ones((1, 1, 1, 70))],
    ids=["constant", "zero", "one"],
)
def test_scans_without_noise_come_back(gradients: GradientTable, data: np.ndarray) -> None:
    found = denoise(data, gradients)
    np.testing.assert_allclose(found.signal, data, atol=1e-4)
    assert np.isfinite(found.expected_error).all()


def test_one_slice(small: np.ndarray, gradients: GradientTable) -> None:
    y = with_noise(small[:, :, :1], 0.06)
    found = denoise(y, gradients)
    assert rms(found.signal - small[:, :, :1]) < 0.6 * rms(y - small[:, :, :1])


def test_bad_input(gradients: GradientTable) -> None:
    y = np.ones((4, 4, 4, 70))
    for data, mask, words in [
        (y[..., 0], None, "X, Y, Z, volumes"),
        (y[..., :65], None, "describes 70 volumes and the scan has 65"),
        (y, np.ones((4, 4, 5)), "scan's grid"),
        (y, np.zeros((4, 4, 4)), "mask is empty"),
        (np.full_like(y, np.nan), None, "not finite"),
    ]:
        with pytest.raises(InputError, match=words):
            denoise(data, gradients, mask)
