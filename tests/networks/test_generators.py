"""Generators against closed forms: the bound of a linear VAE is the likelihood of probabilistic
PCA, and latents of a ladder are counted once.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unfog.core.random import generators as streams
from unfog.errors import InputError
from unfog.networks.generator import VAE, Critic, HierarchicalVAE, Upward, generators
from unfog.networks.generator.vae import divergence

D, K, NOISE = 5, 2, 0.6


def linear_vae(weight: torch.Tensor, mean: torch.Tensor) -> VAE:
    """A VAE with x = W z + mean + noise whose encoder is the exact posterior of W with orthogonal
    columns: N(M^-1 W^T (x - mean), noise^2 M^-1), M = W^T W + noise^2.
    """
    model = VAE((D,), K, 8, [1]).double()
    model.decoder = nn.Linear(K, D).double()
    model.decoder.weight.data, model.decoder.bias.data = weight.clone(), mean.clone()
    model.level.data = torch.tensor(math.log(NOISE) / 10, dtype=torch.float64)
    inverse = torch.linalg.inv(weight.T @ weight + NOISE**2 * torch.eye(K, dtype=torch.float64))
    project = inverse @ weight.T
    encoder = nn.Linear(D, 2 * K).double()
    encoder.weight.data = torch.cat([project, torch.zeros(K, D, dtype=torch.float64)])
    logvar = (NOISE**2 * inverse.diagonal()).log()
    encoder.bias.data = torch.cat([-project @ mean, logvar])
    model.encoder = encoder
    return model


def expected_bound(model: VAE, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """The bound with the expectation over z done exactly: it is quadratic in the noise, for which
    the 2 K points +- sqrt(K) e_i are an exact rule.
    """
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(K):
        for sign in (-1, 1):
            point = torch.zeros(K, dtype=torch.float64)
            point[i] = sign * math.sqrt(K)
            monkeypatch.setattr(
                "unfog.networks.generator.vae.normal",
                lambda shape, _, like, point=point: point.expand(shape).to(like),
            )
            found = model.double().bound(x, [])
            total += (found.nll + found.kl).double() / (2 * K)
    return -total


def test_the_bound_of_a_linear_vae_is_the_likelihood_of_probabilistic_pca(monkeypatch) -> None:
    g = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(D, K, generator=g, dtype=torch.float64)).Q
    weight, mean = q * torch.tensor([2.0, 0.7]), torch.randn(D, generator=g).double()
    x = torch.randn(6, D, generator=g).double()
    covariance = weight @ weight.T + NOISE**2 * torch.eye(D, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)
    bound = expected_bound(linear_vae(weight, mean), x, monkeypatch)
    torch.testing.assert_close(bound, exact, rtol=1e-10, atol=1e-10)
    # Another encoder is no better, for any x.
    worse = linear_vae(weight, mean)
    worse.encoder.bias.data += 0.3
    assert bool((expected_bound(worse, x, monkeypatch) < exact).all())


def test_the_divergence_is_torchs() -> None:
    mean, other = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    first, second = (
        torch.distributions.Normal(m, (0.5 * v).exp()) for m, v in zip(mean, other, strict=True)
    )
    expected = torch.distributions.kl_divergence(first, second).sum(1)
    found = divergence(mean[0], other[0], mean[1], other[1])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(3,), (2, 9), (1, 14, 10), (1, 5, 6, 7)])
@pytest.mark.parametrize("name", ["upward", "vae", "hierarchical-vae"])
def test_any_size_is_drawn_and_sample_k_is_of_its_seed_alone(name, shape) -> None:
    torch.manual_seed(0)
    model = generators.build({"name": name, "channels": 4, "multipliers": [1, 2]}, shape=shape)
    with torch.no_grad():
        x = model.draw(streams(3, range(4)))
        alone = model.draw(streams(3, [2]))
    assert x.shape == (4, *shape)
    torch.testing.assert_close(x[2:3], alone)
    assert float((x[0] - x[1]).abs().max()) > 1e-4 or name == "hierarchical-vae"


def test_a_ladder_begins_with_posterior_and_prior_alike() -> None:
    torch.manual_seed(0)
    model = HierarchicalVAE((1, 8, 8), 2, 4, [1, 2], 2)
    found = model.bound(torch.randn(3, 1, 8, 8), streams(0, range(3)))
    assert found.kl.tolist() == [0, 0, 0]
    # Moved by d in one latent everywhere, the divergence is d^2 / 2 for each of its numbers.
    step = model.levels[0][0]
    step.posterior.bias.data[0] = 0.5
    found = model.bound(torch.randn(3, 1, 8, 8), streams(0, range(3)))
    torch.testing.assert_close(found.kl, torch.full((3,), 16 * 0.125))


def test_a_critic_says_one_number_of_each_sample_by_itself() -> None:
    critic, x = Critic((1, 8, 8), 4, [1, 2], 1), torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(critic(x)[1:2], critic(x[1:2]))


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        Upward((1, 8, 8), channels=0)
