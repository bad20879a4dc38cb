"""Kriging is the conditional law of a Gaussian, by dense algebra; radial spectra are sums of what
was put in.
"""

import pytest
import torch

from unfog.data.builtin.random_field import coloured, power_law
from unfog.errors import InputError
from unfog.evaluation.kriging import Kriging
from unfog.evaluation.spectrum import radial_spectrum, spectrum_distance

N, SIGMA = 8, 0.1
POWER = power_law(N, 3.0)
SENSORS = torch.rand(N, N, generator=torch.Generator().manual_seed(0)) < 0.3


def dense():
    """The covariance of a field (64, 64), by colouring the unit fields."""
    root = coloured(torch.eye(N * N, dtype=torch.float64).view(-1, N, N), POWER).flatten(1)
    return root @ root.T


def conditional():
    c, seen = dense(), SENSORS.flatten().nonzero()[:, 0]
    gain = c[:, seen] @ torch.linalg.inv(
        c[seen][:, seen] + SIGMA**2 * torch.eye(len(seen), dtype=torch.float64)
    )
    return gain, c - gain @ c[seen]


def test_it_is_the_conditional_law():
    y = torch.randn(3, 1, N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gain, covariance = conditional()
    kriging = Kriging(POWER, SENSORS, SIGMA)
    assert torch.allclose(
        kriging.mean(y).flatten(1), y[..., SENSORS].flatten(1) @ gain.T, atol=1e-7
    )
    assert torch.allclose(kriging.std().flatten() ** 2, covariance.diagonal(), atol=1e-7)


def test_its_draws_have_that_law():
    """Mean and covariance of 20,000, within their scatter."""
    y = torch.randn(1, 1, N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kriging, covariance = Kriging(POWER, SENSORS, SIGMA), conditional()[1]
    x = kriging.draw(y.expand(20_000, 1, N, N), torch.Generator().manual_seed(2)).flatten(1)
    assert (
        float(((x.mean(0) - kriging.mean(y).flatten()) / kriging.std().flatten()).abs().max())
        < 5 / 20_000**0.5
    )
    assert float((x.T.cov() - covariance).norm() / covariance.norm()) < 0.05


def test_what_it_refuses():
    for power, sensors, sigma in (
        (POWER, SENSORS[:4], SIGMA),
        (POWER, SENSORS & False, SIGMA),
        (POWER, SENSORS, 0.0),
    ):
        with pytest.raises(InputError, match="Kriging needs"):
            Kriging(power, sensors, sigma)


def test_a_wave_has_its_power_at_its_wavenumber():
    place = 2 * torch.pi * torch.arange(16, dtype=torch.float64) / 16
    x = (
        3 * torch.cos(3 * place)[None] + torch.cos(4 * place)[:, None] * torch.cos(3 * place)[None]
    )[None, None]
    found = radial_spectrum(x)[0]
    expected = torch.zeros(8, dtype=torch.float64)
    expected[3 - 1], expected[5 - 1] = 9 / 2, 1 / 4  # |(4, 3)| = 5
    assert torch.allclose(found, expected, atol=1e-12)


def test_spectra_are_compared_at_every_scale_alike():
    first = torch.tensor([100.0, 1.0, 0.01])
    assert spectrum_distance(first, first * 1.1) == pytest.approx(
        torch.tensor(1.1).log().item(), rel=1e-5
    )
    with pytest.raises(InputError, match="above 0 everywhere"):
        spectrum_distance(first, first - 1)
    with pytest.raises(InputError, match="one size"):
        radial_spectrum(torch.zeros(1, 1, 4, 6))
