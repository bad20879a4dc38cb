"""The oracles themselves, against numerical differentiation and quadrature."""

import pytest
import torch
from support.priors import PROCESSES, gaussian, mixture

from unfog.core.oracle import StationaryDenoiser, gaussian_denoiser


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_score_is_the_gradient_of_the_log_density(process):
    oracle = mixture(process, d=3)
    t = torch.tensor(0.3, dtype=torch.float64)
    x = torch.randn(
        5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    ).requires_grad_()
    (gradient,) = torch.autograd.grad(oracle.log_density(x, t).sum(), x)
    assert torch.allclose(oracle.score(x, t), gradient, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_variance_is_tweedies(process):
    """Cov(x_0 | x_t) = sigma^2 / alpha dD/dx_t: its diagonal is the oracle's variance."""
    oracle = mixture(process, d=3)
    t = torch.tensor(0.3, dtype=torch.float64)
    x = torch.randn(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    jacobian = torch.autograd.functional.jacobian(lambda v: oracle(v, t).mean[0], x)[:, 0]
    expected = process.sigma(t) ** 2 / process.alpha(t) * jacobian.diagonal()
    assert torch.allclose(oracle(x, t).variance[0], expected, atol=1e-9)


def test_density_integrates_to_one():
    oracle = mixture(PROCESSES[0], d=1)
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64)[:, None]
    density = oracle.log_density(x, torch.tensor(0.2, dtype=torch.float64)).exp()
    assert float(torch.trapezoid(density, x[:, 0])) == pytest.approx(1.0, abs=1e-9)


def test_gaussian_is_linear_regression():
    process = PROCESSES[0]
    oracle, mean, covariance = gaussian(process, 4)
    t = torch.tensor(0.4, dtype=torch.float64)
    a, s = process.alpha(t), process.sigma(t)
    x = torch.randn(2, 4, dtype=torch.float64)
    gain = (
        a
        * covariance
        @ torch.linalg.inv(a**2 * covariance + s**2 * torch.eye(4, dtype=torch.float64))
    )
    assert torch.allclose(oracle(x, t).mean, mean + (x - a * mean) @ gain.T, atol=1e-12)


def test_draws_have_the_mixtures_moments():
    oracle = mixture(PROCESSES[0], d=2)
    x = oracle.draw(200_000, torch.Generator().manual_seed(0))
    mean = (oracle.weights[:, None] * oracle.means).sum(0)
    assert torch.allclose(x.mean(0), mean, atol=0.02)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_stationary_field_is_a_gaussian(process):
    """Wiener's filter against the dense denoiser of the same covariance: mean and variance."""
    n = 4
    frequency = torch.fft.fftfreq(n, dtype=torch.float64)
    power = 1 / (1 + 40 * (frequency[:, None] ** 2 + frequency[None] ** 2)) / n**2
    units = torch.eye(n * n, dtype=torch.float64).view(-1, n, n)
    covariance = torch.fft.ifft2(torch.fft.fft2(units) * power * n**2).real.flatten(1)
    field, dense = (
        StationaryDenoiser(process, power),
        gaussian_denoiser(process, torch.zeros(n * n, dtype=torch.float64), covariance),
    )
    x = torch.randn(3, 1, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    t = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    found, expected = field(x, t), dense(x, t)
    assert torch.allclose(found.mean, expected.mean, atol=1e-10)
    assert torch.allclose(found.variance.expand_as(x), expected.variance, atol=1e-10)
