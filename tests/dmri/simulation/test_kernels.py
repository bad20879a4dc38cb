"""Kernels: zonal coefficients in closed form, Funk-Hecke against a fit, and fast harmonics against
their definition.
"""

from __future__ import annotations

import math

import pytest
import torch

from unfog.dmri import harmonics
from unfog.dmri.simulation.kernels import along, dispersed, evaluate, zonal

U = harmonics.fibonacci(300)


def test_a_sticks_mean_in_closed_form():
    """k_0 = 2 pi sqrt(pi / (b D)) erf(sqrt(b D)) exp(-b D_perp); a ball has k_0 = 4 pi exp(-b D)
    and no other.
    """
    parallel, perpendicular = (
        torch.tensor([1.0, 1.7, 2.8]).double(),
        torch.tensor([0.0, 0.2, 0.5]).double(),
    )
    a = 3.0 * (parallel - perpendicular)
    expected = (
        2 * math.pi * (math.pi / a).sqrt() * torch.erf(a.sqrt()) * torch.exp(-3.0 * perpendicular)
    )
    assert torch.allclose(zonal(parallel, perpendicular, 3.0, 4)[0], expected, atol=1e-12)
    ball = zonal(parallel, parallel, 1.0, 4)
    assert torch.allclose(ball[0], 4 * math.pi * torch.exp(-parallel), atol=1e-12)
    assert float(ball[1:].abs().max()) < 1e-12


def test_funk_hecke_is_the_fit_of_the_signal():
    """A zeppelin along any direction: harmonics of high order give its signal back, and the low
    ones are theirs.
    """
    n = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]).double(), dim=0)
    signal = torch.exp(-1.5 * (0.3 + (1.9 - 0.3) * (U @ n) ** 2))
    k = zonal(torch.tensor(1.9).double(), torch.tensor(0.3).double(), 1.5, 12)
    c = along(k[:, None], n[:, None])[:, 0]
    assert float((harmonics.design(U, 12) @ c - signal).abs().max()) < 1e-5
    fitted, _ = harmonics.fit(signal, harmonics.design(U, 12))
    assert torch.allclose(c[:15], fitted[:15], atol=1e-5)


@pytest.mark.parametrize("order", [2, 4, 8])
def test_fast_harmonics_are_the_harmonics(order):
    assert torch.allclose(evaluate(U.T, order), harmonics.design(U, order).T, atol=1e-10)


def test_dispersion_is_a_semigroup():
    """Diffusion on the sphere: two spreads in turn are one of added 1 / kappa; l = 0 stays."""
    k = zonal(torch.tensor([1.7]).double(), torch.tensor([0.2]).double(), 1.0, 4)
    one, two = torch.tensor(10.0).double(), torch.tensor(15.0).double()
    both = dispersed(dispersed(k, one), two)
    assert torch.allclose(both, dispersed(k, 1 / (1 / one + 1 / two)), atol=1e-14)
    assert torch.equal(both[0], k[0])
    assert float(both[1]) == pytest.approx(float(k[1]) * math.exp(-6 / 4 * (1 / 10 + 1 / 15)))
