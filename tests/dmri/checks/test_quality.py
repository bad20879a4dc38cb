"""Signal to noise by shell, and the autocorrelation of what was removed: of numbers that are
known.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.core.random import generator
from unfog.dmri.checks.quality import residual_autocorrelation, signal_to_noise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.noise import correlated_normal

N = 40
DIRECTIONS = np.concatenate([np.zeros((2, 3)), np.tile(np.eye(3), (N, 1))[: N - 2]])
TABLE = GradientTable(np.r_[0, 0, np.full(18, 1000.0), np.full(20, 2000.0)], DIRECTIONS)
SPACE = (12, 10, 8)
ALL = np.ones(SPACE, bool)


def test_signal_to_noise() -> None:
    signal = np.ones((*SPACE, N)) * np.where(
        TABLE.b0, 100.0, np.where(TABLE.bvals < 1500, 50.0, 20.0)
    )
    inside = ALL.copy()
    inside[:5] = False
    signal[:5] = 1e6
    found = signal_to_noise(signal, np.full(SPACE, 5.0), np.full(SPACE, 2.0), inside, TABLE)
    assert {b: tuple(one) for b, one in found.items()} == {
        "0": (100, 20, 50),
        "1000": (50, 10, 25),
        "2000": (20, 4, 10),
    }


@pytest.mark.parametrize("correlation", [(0, 0, 0), (0.26, 0.1, 0)])
def test_the_autocorrelation_of_noise(correlation: tuple[float, ...]) -> None:
    noise = (
        correlated_normal(torch.zeros(N, *SPACE), generator(0), correlation).movedim(0, 3).numpy()
        + 7.0
    )
    lags, white = residual_autocorrelation(noise, ALL, TABLE)
    assert white == pytest.approx((12 * 10 * 8 * 38) ** -0.5)
    for axis, rho in zip("xyz", correlation, strict=True):
        assert lags[axis][0] == pytest.approx(rho, abs=5 * white)
        assert lags[axis][3] == pytest.approx(0, abs=5 * white)
