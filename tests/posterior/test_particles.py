"""The particle filter against exact posteriors: mean and covariance for a Gaussian prior, weights
of modes for a mixture.
"""

import pytest
import torch
from support.priors import gaussian, mixture

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.posterior.particles import ParticleFilter, ancestral, calibrated
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample

D, SIGMA = 6, 0.3
EYE = torch.eye(D, dtype=torch.float64)
OPERATORS = {
    "mask": Mask(torch.tensor([1, 0, 1, 1, 0, 0])),
    "blocks": BlockAverage(3),
    "blur": Blur(gaussian_kernel(0.6, 1)[1:-1]),
}
CALIBRATED = {"name": "log-snr", "sigma_min": 0.1}


def filtered(oracle, operator, y, sigma, particles, grid, kernel, seed=0):
    """The particles of one filter, (particles, d)."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(
        particles, *y.shape[1:2], oracle.means.shape[1], generator=g, dtype=torch.float64
    )
    sampler = ParticleFilter(operator, y.expand(particles, *y.shape[1:]), sigma, particles, kernel)
    return sample(oracle, noise, grid, sampler, randomness=g)[:, 0]


def posterior(mean, covariance, a, y, sigma):
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + sigma**2 * torch.eye(len(a)))
    return mean + gain @ (y - a @ mean), covariance - gain @ a @ covariance


def check(task, kernel, grid, particles, mean_bound, covariance_bound):
    operator, (oracle, mean, covariance) = OPERATORS[task], gaussian(EDM(80.0), D)
    g = torch.Generator().manual_seed(5)
    truth = oracle.draw(1, g)[:, None]
    y = (
        operator(truth + SIGMA * torch.randn(truth.shape, generator=g).double())
        if task == "mask"
        else operator(truth)
    )
    x = filtered(oracle, operator, y, SIGMA, particles, grid(oracle.process), kernel)
    centre, spread = posterior(mean, covariance, operator(EYE[:, None])[:, 0].T, y[0, 0], SIGMA)
    assert (
        float(((x.mean(0) - centre) / spread.diagonal().sqrt()).square().mean().sqrt()) < mean_bound
    )
    assert float((x.T.cov() - spread).norm() / spread.norm()) < covariance_bound


@pytest.mark.slow
@pytest.mark.parametrize("task", OPERATORS)
@pytest.mark.parametrize(
    ("kernel", "grid"),
    [
        (ancestral, lambda p: grids.build({"name": "karras", "sigma_min": 0.02})(p, 300)),
        (calibrated(2), lambda p: grids.build(CALIBRATED)(p, 40)),
    ],
    ids=["300 steps of DDPM", "40 calibrated"],
)
def test_the_posterior_of_a_gaussian(task, kernel, grid):
    """Mean within .02 posterior deviations, covariance within .05."""
    check(task, kernel, grid, 20_000, 0.02, 0.05)


@pytest.mark.parametrize("task", OPERATORS)
def test_the_posterior_of_a_gaussian_roughly(task):
    """With fewer particles, in little time."""
    check(task, calibrated(2), lambda p: grids.build(CALIBRATED)(p, 20), 3000, 0.06, 0.15)


@pytest.mark.parametrize("process", [EDM(10.0), VPLinear()], ids=["edm", "vp"])
def test_the_modes_of_a_mixture_have_their_posterior_weights(process):
    """One of two coordinates is measured, which three of the four modes explain about as well:
    within 3 %.
    """
    oracle, operator, sigma = mixture(process), Mask(torch.tensor([0, 1])), 0.5
    y, particles = torch.tensor([[[0.0, 0.4]]]).double(), 10_000
    grid = grids.build({"name": "log-snr", "sigma_max": 10.0, "sigma_min": 0.05})(process, 25)
    x = filtered(oracle, operator, y, sigma, particles, grid, calibrated(2))
    covariances = (
        oracle.eigenvectors @ torch.diag_embed(oracle.eigenvalues) @ oracle.eigenvectors.mT
    )
    evidence = torch.distributions.Normal(
        oracle.means[:, 1], (covariances[:, 1, 1] + sigma**2).sqrt()
    ).log_prob(y[0, 0, 1])
    exact = torch.softmax(oracle.weights.log() + evidence, 0)
    after = [
        posterior(m, c, torch.tensor([[0.0, 1.0]]).double(), y[0, 0, 1:], sigma)
        for m, c in zip(oracle.means, covariances, strict=True)
    ]
    means, spreads = (torch.stack(part) for part in zip(*after, strict=True))
    # Each particle counts for the modes by their shares in it, whose mean under the posterior is
    # exactly the modes' weights.
    own = [
        torch.distributions.MultivariateNormal(m, c).log_prob(x)
        for m, c in zip(means, spreads, strict=True)
    ]
    found = torch.softmax(exact.log() + torch.stack(own, 1), 1).mean(0)
    assert exact.sort().values[1] > 0.15
    assert float((found - exact).abs().max()) < 0.03


def test_a_filter_depends_on_its_own_generators_alone():
    oracle, operator, particles = gaussian(EDM(10.0), D)[0], OPERATORS["blocks"], 32
    grid = grids.build("karras")(oracle.process, 8)
    y = normal((4, 1, 2), generators(1, range(4)), like=oracle.means).repeat_interleave(
        particles, 0
    )

    def run(filters):
        n = filters * particles
        randomness = generators(0, range(n))
        sampler = ParticleFilter(operator, y[:n], SIGMA, particles)
        return sample(
            oracle,
            normal((n, 1, D), randomness, like=oracle.means),
            grid,
            sampler,
            randomness=randomness,
        )

    assert torch.allclose(run(4)[:particles], run(1), atol=1e-10)


def test_particles_of_a_wide_prior_are_drawn_from_the_likelihood():
    """A prior that says nothing of what is measured leaves the likelihood, and one particle in the
    right place takes all.
    """
    wide = MixtureDenoiser(
        EDM(80.0),
        torch.ones(1).double(),
        torch.zeros(1, 1).double(),
        torch.full((1, 1), 400.0).double(),
    )
    y = torch.tensor([[[7.0]]]).double()
    grid = grids.build({"name": "log-snr", "sigma_min": 0.1})(wide.process, 30)
    x = filtered(wide, Identity(), y, 1.0, 4000, grid, calibrated(1))
    assert float(x.mean()) == pytest.approx(7 * 400 / 401, abs=0.1)
    assert float(x.std()) == pytest.approx((400 / 401) ** 0.5, rel=0.08)


def test_bad_filters_are_refused():
    y = torch.zeros(6, 1, 2)
    for sigma, particles, message in (
        (0.0, 3, "above zero"),
        (0.1, 4, "divides"),
        (0.1, 1, "2 or more"),
    ):
        with pytest.raises(InputError, match=message):
            ParticleFilter(Identity(), y, sigma, particles)
