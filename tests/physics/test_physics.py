"""Operators: adjoint, pseudo-inverse; noise: moments and estimates."""

import numpy as np
import pytest
import torch

from unfog.errors import InputError
from unfog.physics.noise import (
    add_gaussian,
    add_poisson,
    add_poisson_gaussian,
    add_rician,
    estimate_sigma,
    expected_real_part,
    rician_to_gaussian,
)
from unfog.physics.operators import BlockAverage, Channels, Grey, Mask


def test_block_average_by_hand():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert BlockAverage(2)(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_bad_operators_are_refused():
    with pytest.raises(InputError, match="measures nothing"):
        Mask(torch.zeros(4, 4))
    with pytest.raises(InputError, match="2 or more"):
        BlockAverage(1)
    with pytest.raises(InputError, match="do not divide"):
        BlockAverage(3)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(InputError, match="distinct numbers from 0 to 3"):
        Channels([1, 1], 4)
    with pytest.raises(InputError, match="all zero"):
        Grey([0, 0, 0])
    with pytest.raises(InputError, match="3 channels"):
        Grey()(torch.zeros(1, 1, 4, 4))


def test_rician_moments():
    x = torch.full((1, 1, 1000, 1000), 0.5, dtype=torch.float64)
    y = add_rician(x, 0.1, torch.Generator().manual_seed(0))
    assert float(y.square().mean()) == pytest.approx(0.25 + 2 * 0.01, rel=2e-3)
    assert float(y.mean()) > 0.509  # the bias that there is
    assert float(rician_to_gaussian(y, 0.1).mean()) == pytest.approx(
        0.5, abs=1e-3
    )  # and is taken away


@pytest.mark.parametrize("signal", [0.0, 0.05, 0.3])
def test_the_expected_real_part_is_right_where_the_signal_is_known(signal):
    """E[x + n_1 | y, x], averaged over y, is x: also far below the noise, where the usual
    correction is biased.
    """
    x = torch.full((1, 1, 1000, 1000), signal, dtype=torch.float64)
    y = add_rician(x, 0.1, torch.Generator().manual_seed(0))
    assert float(expected_real_part(y, x, 0.1).mean()) == pytest.approx(signal, abs=4e-4)
    assert signal == 0.3 or float(rician_to_gaussian(y, 0.1).mean()) > signal + 0.02


@pytest.mark.parametrize("sigma", [0.02, 0.08, 0.3])
def test_estimated_noise(sigma):
    """Blind, on a smooth image with edges, within 5 %."""
    u, v = np.meshgrid(np.linspace(0, 6, 128), np.linspace(0, 6, 128))
    clean = torch.from_numpy(2 + np.sin(u) * np.cos(v) + (u > 3)).float().expand(4, 1, -1, -1)
    noisy = add_gaussian(clean, sigma, torch.Generator().manual_seed(0))
    assert float(estimate_sigma(noisy).mean()) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("randomness", ["one", "each"])
def test_poisson_moments(randomness):
    """Mean x and variance scale x, with read-out noise sigma^2 more."""
    x = torch.full((2, 1, 500, 500), 0.5, dtype=torch.float64)
    g = (
        torch.Generator().manual_seed(0)
        if randomness == "one"
        else [torch.Generator().manual_seed(k) for k in range(2)]
    )
    for y, variance in (
        (add_poisson(x, 0.1, g), 0.05),
        (add_poisson_gaussian(x, 0.1, 0.2, g), 0.09),
    ):
        assert float(y.mean()) == pytest.approx(0.5, abs=2e-3)
        assert float(y.var()) == pytest.approx(variance, rel=1e-2)
    with pytest.raises(InputError, match="nowhere negative"):
        add_poisson(-x, 0.1, g)
