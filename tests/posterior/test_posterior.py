"""Posterior methods against exact posteriors: Gaussian and mixture priors, linear measurements,
float64.
"""

import pytest
import torch
from support.priors import gaussian, mixture

from unfog.core.denoiser import Denoiser
from unfog.core.process import EDM, VPLinear, ddpm_linear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.posterior.direct import DirectMeasurement
from unfog.posterior.mmps import MMPS
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

D = 16
G = torch.Generator().manual_seed(0)
KEPT = torch.rand(1, 1, D, generator=G) < 0.5
OPERATORS = {"identity": Identity(), "mask": Mask(KEPT), "blocks": BlockAverage(4)}


def matrix(operator):
    """A as a matrix (m, d)."""
    return operator(torch.eye(D, dtype=torch.float64)[:, None])[:, 0].T


def conditional(mean, covariance, matrix, y, sigma):
    """Mean (batch, d) and covariance of a Gaussian x given y = A x + sigma noise."""
    gain = (
        covariance
        @ matrix.T
        @ torch.linalg.inv(
            matrix @ covariance @ matrix.T + sigma**2 * torch.eye(len(matrix)).double()
        )
    )
    return mean + (y - mean @ matrix.T) @ gain.T, covariance - gain @ matrix @ covariance


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp", "edm"])
@pytest.mark.parametrize("name", OPERATORS)
def test_mmps_is_exact_for_a_gaussian_prior(process, name):
    operator, (oracle, mean, covariance) = OPERATORS[name], gaussian(process, D)
    x, t = (
        torch.randn(3, 1, D, generator=G, dtype=torch.float64),
        torch.tensor(0.3, dtype=torch.float64),
    )
    y = operator(torch.randn(3, 1, D, generator=G, dtype=torch.float64))
    alpha, sigma = oracle.scales(t)
    both = torch.cat([alpha / sigma * torch.eye(D).double(), matrix(operator) / 0.3])
    exact, _ = conditional(
        mean, covariance, both, torch.cat([x[:, 0] / sigma, y[:, 0] / 0.3], 1), 1.0
    )
    assert torch.allclose(
        MMPS(oracle, operator, y, 0.3, iterations=D, tolerance=0)(x, t).mean[:, 0], exact, atol=1e-8
    )


def test_more_iterations_come_closer():
    operator, (oracle, _, _) = OPERATORS["mask"], gaussian(VPLinear(), D)
    x, t = (
        torch.randn(3, 1, D, generator=G, dtype=torch.float64),
        torch.tensor(0.5, dtype=torch.float64),
    )
    y = operator(x)
    results = [
        MMPS(oracle, operator, y, 0.5, iterations=n, tolerance=0)(x, t).mean for n in (1, 2, 4, 16)
    ]
    errors = [float((r - results[-1]).norm()) for r in results[:-1]]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
def test_direct_measurement_is_exact_for_a_mixture(process):
    """The two-observation posterior of a mixture, computed component by component."""
    oracle = mixture(process, d=3)
    x, y = (torch.randn(5, 3, generator=G, dtype=torch.float64) for _ in range(2))
    t, s = torch.tensor(0.3, dtype=torch.float64), 0.4
    alpha, sigma = oracle.scales(t)
    covariances = (
        oracle.eigenvectors @ torch.diag_embed(oracle.eigenvalues) @ oracle.eigenvectors.mT
    )
    both, seen = (
        torch.cat([alpha / sigma * torch.eye(3).double(), torch.eye(3).double() / s]),
        torch.cat([x / sigma, y / s], 1),
    )
    means, logs = [], []
    for weight, mean, covariance in zip(oracle.weights, oracle.means, covariances, strict=True):
        means.append(conditional(mean, covariance, both, seen, 1.0)[0])
        total = torch.distributions.MultivariateNormal(
            mean @ both.T, both @ covariance @ both.T + torch.eye(6).double()
        )
        logs.append(weight.log() + total.log_prob(seen))
    share = torch.softmax(torch.stack(logs), 0)[..., None]
    expected = (share * torch.stack(means)).sum(0)
    assert torch.allclose(DirectMeasurement(oracle, y, s)(x, t).mean, expected, atol=1e-10)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "heun", "dpmpp-2m"])
@pytest.mark.parametrize("task", ["identity", "mask"])
def test_any_sampler_draws_the_posterior(name, task):
    process, operator = EDM(80.0), OPERATORS[task]
    oracle, mean, covariance = gaussian(process, D)
    y = operator(torch.randn(1, 1, D, generator=G, dtype=torch.float64))
    sigma, n = 0.3, 2000
    measured = y.expand(n, 1, D)
    method = (
        DirectMeasurement(oracle, measured, sigma)
        if task == "identity"
        else MMPS(oracle, operator, measured, sigma, iterations=D, tolerance=0)
    )
    randomness = generators(0, range(n))
    grid = grids.build({"name": "karras", "sigma_min": 0.02})(process, 120)
    x = sample(
        method,
        normal((n, 1, D), randomness, like=mean),
        grid,
        samplers.build(name),
        randomness=randomness,
    )[:, 0]
    exact_mean, exact_covariance = conditional(mean, covariance, matrix(operator), y[:, 0], sigma)
    spread = exact_covariance.diagonal().sqrt()
    assert float(((x.mean(0) - exact_mean[0]) / spread).abs().max()) < 0.12
    assert float((x.T.cov() - exact_covariance).norm() / exact_covariance.norm()) < 0.15


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp", "edm"])
@pytest.mark.parametrize("name", [*OPERATORS, "direct"])
def test_the_posterior_covariance_is_exact_for_a_gaussian_prior(process, name):
    """Of x_0 given x_t and y, whatever the method: its products with every axis."""
    operator, (oracle, mean, covariance) = (
        OPERATORS.get(name, OPERATORS["identity"]),
        gaussian(process, D),
    )
    x, t = (
        torch.randn(1, 1, D, generator=G, dtype=torch.float64),
        torch.tensor(0.3, dtype=torch.float64),
    )
    y = operator(torch.randn(1, 1, D, generator=G, dtype=torch.float64))
    alpha, sigma = oracle.scales(t)
    both = torch.cat([alpha / sigma * torch.eye(D).double(), matrix(operator) / 0.3])
    _, exact = conditional(
        mean, covariance, both, torch.cat([x[:, 0] / sigma, y[:, 0] / 0.3], 1), 1.0
    )
    method = (
        DirectMeasurement(oracle, y, 0.3)
        if name == "direct"
        else MMPS(oracle, operator, y, 0.3, iterations=D, tolerance=0)
    )
    found, product = method.with_covariance(x.expand(D, 1, D), t)
    assert torch.equal(found[:1], method(x, t).mean) or torch.allclose(
        found[:1], method(x, t).mean, atol=1e-12
    )
    assert torch.allclose(product(torch.eye(D).double()[:, None])[:, 0], exact, atol=1e-8)


@pytest.mark.parametrize("name", [*OPERATORS, "direct"])
def test_calibrated_draws_have_the_posterior_covariance(name):
    """At 6 steps, in every direction: whitened draws have unit covariance within the error of their
    number.
    """
    process, operator = EDM(80.0), OPERATORS.get(name, OPERATORS["identity"])
    oracle, mean, covariance = gaussian(process, D)
    y, sigma, n = operator(torch.randn(1, 1, D, generator=G, dtype=torch.float64)), 0.3, 1000
    measured = y.expand(n, *y.shape[1:])
    method = (
        DirectMeasurement(oracle, measured, sigma)
        if name == "direct"
        else MMPS(oracle, operator, measured, sigma, iterations=D, tolerance=0)
    )
    g, grid = (
        torch.Generator().manual_seed(0),
        grids.build({"name": "log-snr", "sigma_min": 0.3})(process, 6),
    )
    noise = torch.randn(n, 1, D, generator=g, dtype=torch.float64)
    x = sample(
        method,
        noise,
        grid,
        samplers.build({"name": "calibrated-draws", "products": D}),
        randomness=g,
    )[:, 0]
    exact_mean, exact_covariance = conditional(mean, covariance, matrix(operator), y[:, 0], sigma)
    white = (x - exact_mean) @ torch.linalg.inv(torch.linalg.cholesky(exact_covariance)).T
    assert float((white.T @ white / n - torch.eye(D).double()).abs().max()) < 4 * (2 / n) ** 0.5
    assert float(white.mean(0).abs().max()) < 4 / n**0.5


@pytest.mark.parametrize("task", ["identity", "mask"])
def test_one_network_call_a_step_and_no_dependence_on_the_batch(task):
    oracle, _, _ = gaussian(ddpm_linear(), D)

    class Counted(Denoiser):
        def __init__(self):
            super().__init__()
            self.process, self.calls = oracle.process, 0

        def forward(self, x_t, t, **condition):
            self.calls += 1
            return oracle(x_t, t)

    def run(n):
        counted = Counted()
        randomness = generators(0, range(n))
        y = OPERATORS[task](normal((n, 1, D), generators(1, range(n)), like=oracle.means))
        method = (
            DirectMeasurement(counted, y, 0.2)
            if task == "identity"
            else MMPS(counted, OPERATORS[task], y, 0.2)
        )
        noise = normal((n, 1, D), randomness, like=oracle.means)
        return sample(
            method,
            noise,
            grids.build("trailing")(oracle.process, 10),
            samplers.build("ddpm"),
            randomness=randomness,
        ), counted.calls

    (many, calls), (one, _) = run(64), run(1)
    assert calls == 10
    assert float((many[0] - one[0]).abs().max()) <= 1e-10


def test_the_measurement_matters():
    oracle, _, _ = gaussian(VPLinear(), D)
    x, t = torch.randn(1, 1, D, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    one, other = (
        MMPS(oracle, Mask(KEPT), y * KEPT, 0.1)(x, t).mean
        for y in (torch.zeros_like(x), torch.ones_like(x))
    )
    assert float((one - other).norm()) > 0.1


def test_no_noise_is_refused():
    oracle, _, _ = gaussian(VPLinear(), D)
    for build in (
        lambda: MMPS(oracle, Identity(), torch.zeros(1, 1, D), 0.0),
        lambda: DirectMeasurement(oracle, torch.zeros(1, 1, D), 0.0),
    ):
        with pytest.raises(InputError, match="above zero"):
            build()
