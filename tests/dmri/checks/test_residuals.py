"""What was removed over the noise, and what b = 0 says of a scan: on numbers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from unfog.dmri.checks.residuals import by_shell, by_slice, histogram, over_noise, stability
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients

SHAPE, TABLE = (8, 8, 4), real_gradients()[:20]
INSIDE = np.ones(SHAPE, bool)


def test_removed_noise_by_shell_slice_and_size() -> None:
    numbers = np.random.default_rng(0)
    sigma = numbers.uniform(1, 3, SHAPE)
    residual = sigma[..., None] * numbers.standard_normal((*SHAPE, 20))
    residual[..., ~TABLE.b0] += 0.5 * sigma[..., None]
    residual[:, :, 2, 9] *= 3
    removed = over_noise(residual, sigma, INSIDE)
    shells = by_shell(removed, TABLE)
    assert shells["0"].mean == pytest.approx(0, abs=0.1)
    assert shells["0"].deviation == pytest.approx(1, abs=0.05)
    weighted = next(one for b, one in shells.items() if b != "0")
    assert weighted.mean == pytest.approx(0.5, abs=0.1)
    # The slice that was made three times as large stands out.
    sizes = by_slice(removed, INSIDE)
    assert sizes.shape == (4, 20)
    assert np.unravel_index(sizes.argmax(), sizes.shape) == (2, 9)
    middles, density = histogram(removed)
    assert density.sum() * (middles[1] - middles[0]) == pytest.approx(1, abs=0.01)
    assert over_noise(residual, 0 * sigma, INSIDE).max() == 0


def test_drift_and_steadiness() -> None:
    """5 % over the scan, and a ratio of 20 that denoising doubles."""
    numbers = np.random.default_rng(0)
    table = GradientTable(np.zeros(41), np.zeros((41, 3)))
    line = np.linspace(100, 95, 41)
    noise = numbers.standard_normal((*SHAPE, 41))
    found = stability(line + 0.1 * noise, noise, INSIDE, table)
    assert found.drift == pytest.approx(-5, abs=0.05)
    found = stability(100 + 5 * noise, 100 + 2.5 * noise, INSIDE, table)
    assert found.before == pytest.approx(20, rel=0.05)
    assert found.after == pytest.approx(40, rel=0.05)
    # Volumes at one end tell no drift.
    early = GradientTable(np.append([0.0] * 3, [1000.0] * 17), np.eye(3)[[0] * 20])
    assert stability(noise[..., :20] + 9, noise[..., :20] + 9, INSIDE, early).drift is None
    few = table[:1]
    assert stability(noise[..., :1], noise[..., :1], INSIDE, few) == (None, None, None)
