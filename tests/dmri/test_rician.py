"""Magnitudes: closed forms against scipy, against quadrature and against draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import hyp1f1

from unfog.core.random import generator
from unfog.dmri.rician import (
    koay_inversion,
    magnitude_bias,
    magnitude_error,
    magnitude_mean,
    noise_magnitude,
    variance_share,
    without_bias,
)
from unfog.dmri.simulation.noise import add_magnitude_noise, correlated_normal
from unfog.errors import InputError

NU = np.array([0.0, 0.05, 0.3, 1.0, 2.5, 7.0, 30.0])


def test_the_rician_mean() -> None:
    """Laguerre's L_1/2 as a Bessel sum, as scipy's distribution and as Kummer's function."""
    expected = [stats.rice(nu / 0.5, scale=0.5).mean() for nu in NU[:6]]  # scipy overflows beyond
    np.testing.assert_allclose(magnitude_mean(NU[:6], 0.5), expected, rtol=1e-9)
    assert float(magnitude_mean(30.0, 0.5)) == pytest.approx(30 + 0.5**2 / 60, abs=1e-5)
    np.testing.assert_allclose(
        magnitude_mean(NU[:6], 0.5),
        0.5 * np.sqrt(np.pi / 2) * hyp1f1(-0.5, 1, -2 * NU[:6] ** 2),
        rtol=1e-9,
    )


@pytest.mark.parametrize("coils", [1, 2, 4, 16])
def test_the_mean_of_several_coils(coils: int) -> None:
    """y / sigma is the root of a non-central chi-squared variable of 2 n degrees."""
    expected = [
        stats.ncx2(2 * coils, nu**2).expect(np.sqrt) if nu else stats.chi(2 * coils).mean()
        for nu in NU[:6]
    ]
    np.testing.assert_allclose(magnitude_mean(NU[:6], 1.0, coils), expected, rtol=1e-6)
    assert float(noise_magnitude(3.0, coils)) == pytest.approx(3 * stats.chi(2 * coils).mean())


@pytest.mark.parametrize("coils", [1, 4, 12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_inverse_and_the_bias(coils: int, dtype: type) -> None:
    nu = np.concatenate([[0.0], np.geomspace(0.2, 500, 997)])
    sigma = 0.3
    mean = magnitude_mean(nu, sigma, coils)
    back = koay_inversion(mean.astype(dtype), dtype(sigma), coils)
    assert back.dtype == dtype
    np.testing.assert_allclose(back[1:], nu[1:], atol=2e-4 * sigma, rtol=1e-6)
    np.testing.assert_allclose(
        magnitude_bias(nu.astype(dtype), sigma, coils), mean - nu, atol=2e-4 * sigma
    )
    np.testing.assert_allclose(without_bias(mean, nu, sigma, coils), nu, atol=2e-4 * sigma)
    exact = 2 * coils + (nu**2 - mean**2) / sigma**2
    near = nu < 10
    np.testing.assert_allclose(variance_share(mean, sigma, coils)[near], exact[near], atol=3e-3)


def test_what_noise_alone_makes_is_no_signal() -> None:
    np.testing.assert_array_equal(koay_inversion(np.array([0.0, 0.5, 1.2]), 1.0), 0)
    assert float(variance_share(0.0, 1.0)) == pytest.approx(2 - np.pi / 2)


def test_without_noise_nothing_changes() -> None:
    x = np.array([0.0, 1.0, 5.0])
    np.testing.assert_array_equal(magnitude_mean(x, 0.0), x)
    np.testing.assert_array_equal(koay_inversion(x, 0.0), x)
    np.testing.assert_array_equal(without_bias(x, x, 0.0), x)


@pytest.mark.parametrize("coils", [1, 4])
def test_draws_have_the_mean(coils: int) -> None:
    signal = torch.tensor([0.0, 0.5, 3.0]).repeat_interleave(200_000).view(3, 20, 100, 100)
    y = add_magnitude_noise(signal, 0.5, generator(0), coils)
    np.testing.assert_allclose(
        y.flatten(1).mean(1), magnitude_mean(np.array([0, 0.5, 3.0]), 0.5, coils), atol=4e-3
    )
    np.testing.assert_allclose(
        y.square().flatten(1).mean(1), np.array([0, 0.25, 9]) + 2 * coils * 0.25, rtol=1e-2
    )


@pytest.mark.parametrize("rho", [0.26, -0.3, 0.6])
def test_correlated_noise(rho: float) -> None:
    z = correlated_normal(torch.empty(4, 60, 60, 60), generator(0), (rho, 0, 0))
    assert float(z.var()) == pytest.approx(1, abs=0.01)
    assert float((z[:, 1:] * z[:, :-1]).mean()) == pytest.approx(rho, abs=0.01)
    assert abs(float((z[:, :, 1:] * z[:, :, :-1]).mean())) < 0.01


def test_bad_noise_is_refused() -> None:
    x = torch.zeros(1, 2, 2, 2)
    with pytest.raises(InputError, match="1 coil or more"):
        add_magnitude_noise(x, 1.0, generator(0), 0)
    with pytest.raises(InputError, match="1 coil or more"):
        magnitude_mean(1.0, 1.0, 0)
    with pytest.raises(InputError, match="correlation"):
        correlated_normal(x, generator(0), (0.8, 0, 0))


@pytest.mark.parametrize("coils", [1, 4])
def test_the_error_of_a_magnitude(coils: int) -> None:
    expected = [
        stats.ncx2(2 * coils, nu**2).expect(lambda y, nu=nu: (y**0.5 - nu) ** 2)
        if nu
        else 2 * coils
        for nu in NU[:6]
    ]
    np.testing.assert_allclose(
        magnitude_error(0.3 * NU[:6], 0.3, coils), 0.09 * np.array(expected), rtol=2e-3
    )
