"""Priors with independent increments, against quadrature and closed forms."""

import pytest
import torch

from unfog.core.increments import (
    BernoulliLaplace,
    Gaussian,
    Increments,
    Laplace,
    StudentT,
    inverse_gaussian,
)
from unfog.core.levy import Levy, LevyDenoiser
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generator

LAWS = [Gaussian(0.7), Laplace(0.6), StudentT(3.0, 0.5), BernoulliLaplace(0.8, 0.3)]
laws = pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
A = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)


def density(law: Increments, u: torch.Tensor) -> torch.Tensor:
    """Of what is not 0."""
    if isinstance(law, Gaussian):
        return torch.exp(-(u**2) / (2 * law.variance))
    if isinstance(law, Laplace):
        return torch.exp(-u.abs() / law.b) / (2 * law.b)
    return (1 + u**2 / (law.degrees * law.scale**2)) ** (-(law.degrees + 1) / 2)


def quadrature(law: Increments, y: torch.Tensor, sigma: float) -> tuple:
    """Mean and covariance of x = (u_1, u_1 + u_2) given y = A x + noise, on a grid of u."""
    # The midpoints of a fine grid, and the atom at 0.
    u = torch.linspace(-12, 12, 2401, dtype=torch.float64)[:-1] + 0.005
    mass = density(law, u) * 0.01
    mass = law.active * mass / mass.sum()
    u, mass = torch.cat([u, torch.zeros(1)]), torch.cat([mass, torch.tensor([1 - law.active])])
    x = torch.stack([u[:, None].expand(len(u), len(u)), u[:, None] + u[None]], -1)
    log = -((y - x @ A.T) ** 2).sum(-1) / (2 * sigma**2)
    weight = torch.exp(log - log.max()) * mass[:, None] * mass[None]
    weight = weight / weight.sum()
    mean = (weight[..., None] * x).sum((0, 1))
    gap = x - mean
    return mean, torch.einsum("ij,ija,ijb->ab", weight, gap, gap)


@laws
@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_the_posterior_is_the_one_of_quadrature(law, sigma) -> None:
    y = torch.tensor([1.2, 0.4], dtype=torch.float64)
    chains = y.expand(150, 2)
    found = Levy(law, 2).posterior(
        A, chains, torch.full((150,), sigma), generator("q"), warmup=40, sweeps=100
    )
    mean, covariance = quadrature(law, y, sigma)
    error = found.mean.std(0) / 150**0.5 + 1e-4
    assert bool(((found.mean.mean(0) - mean).abs() < 4 * error).all())
    within = found.covariance + (found.mean - mean)[:, :, None] * (found.mean - mean)[:, None]
    assert torch.allclose(within.mean(0), covariance, rtol=0.06, atol=0.01)
    # The draws are of the same law.
    draws = found.draws.flatten(0, 1)
    assert torch.allclose(draws.mean(0), mean, atol=0.03)
    assert torch.allclose(draws.T.cov(), covariance, rtol=0.06, atol=0.01)


@pytest.mark.parametrize("process", [EDM(80.0), VPLinear()], ids=["edm", "vp"])
def test_brownian_motion_s_denoiser_is_the_gaussian_s(process) -> None:
    d = 6
    steps = torch.ones(d, d, dtype=torch.float64).tril()
    exact = gaussian_denoiser(process, torch.zeros(d).double(), 0.7 * steps @ steps.T)
    levy = LevyDenoiser(process, Levy(Gaussian(0.7), d), 1, 1)
    x = torch.randn(4, 1, d, generator=generator("x"), dtype=torch.float64)
    t = process.t_of_noise_level(torch.tensor(0.8))
    ours, theirs = levy(x, t), exact(x, t)
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)
    product, expected = levy.with_covariance(x, t)[1](x), exact.with_covariance(x, t)[1](x)
    torch.testing.assert_close(product, expected)


@laws
def test_draws_of_the_prior_have_its_law(law) -> None:
    u = Levy(law, 1).draw(60_000, generator("prior"))[:, 0]
    assert float((u != 0).double().mean()) == pytest.approx(law.active, abs=0.01)
    v = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    p = density(law, v)
    expected = law.active * float((p * (v.abs() < 1)).sum() / p.sum())
    inside = float(((u != 0) & (u.abs() < 1)).double().mean())
    assert inside == pytest.approx(expected, abs=0.01)


@laws
def test_variances_given_increments_keep_the_prior(law) -> None:
    """(w, u) drawn together, and w again given u: both w have one law (Geweke 2004)."""
    g = generator("geweke")
    w = law.prior_variances(torch.zeros(60_000, dtype=torch.float64), g)
    u = w.sqrt() * torch.randn(w.shape, generator=g, dtype=w.dtype)
    again = law.variances(u, g)
    at = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    share = torch.stack([(again <= q).double().mean() for q in w.quantile(at)])
    if not isinstance(law, Gaussian):
        assert float((share - at).abs().max()) < 0.01


def test_the_inverse_gaussian_s_moments() -> None:
    x = inverse_gaussian(torch.full((200_000,), 2.0).double(), 3.0, generator("ig"))
    assert float(x.mean()) == pytest.approx(2, rel=0.02)
    assert float(x.var()) == pytest.approx(8 / 3, rel=0.05)
    # At an infinite mean 1 / x is chi-squared of one degree, over lambda.
    far = 1 / inverse_gaussian(torch.full((200_000,), 1e9).double(), 3.0, generator("ig"))
    assert float(far.mean()) == pytest.approx(1 / 3, rel=0.03)


def test_jumps_are_found_where_they_are() -> None:
    law = BernoulliLaplace(1.0, 0.1)
    x = torch.tensor([0.0] * 8 + [2.0] * 8, dtype=torch.float64)
    y = x + 0.1 * torch.randn(16, generator=generator("jump"), dtype=torch.float64)
    found = Levy(law, 16).posterior(
        torch.eye(16), y.expand(20, 16), torch.full((20,), 0.1), generator("jump")
    )
    step = found.draws.diff(dim=2, prepend=torch.zeros(20, 100, 1).double())
    there = (step.abs() > 1e-12).double().mean((0, 1))
    assert float(there[8]) > 0.99
    assert float(torch.cat([there[:8], there[9:]]).max()) < 0.3
    # Fewer values at play, so less error than the noise's.
    assert float((found.mean.mean(0) - x).abs().max()) < 0.1
