"""Stochastic samplers held to closed forms: each is affine on a Gaussian, so its own mean and
variance follow by recursion.
"""

import math
from itertools import pairwise

import pytest
import torch
from support.priors import mixture

from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import (
    EDM,
    RectifiedFlow,
    SubVariancePreserving,
    VarianceExploding,
    VPLinear,
    ddpm_linear,
)
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.sampling.ancestral import DDIM, DDPM
from unfog.sampling.churn import Churn
from unfog.sampling.grids import grids
from unfog.sampling.inversion import invert
from unfog.sampling.langevin import AnnealedLangevin, Langevin, PredictorCorrector
from unfog.sampling.loop import sample, trajectory
from unfog.sampling.moments import exact
from unfog.sampling.multistep import Multistep
from unfog.sampling.samplers import samplers
from unfog.sampling.sde import EulerMaruyama, ReverseDiffusion

MEAN, VARIANCE = 0.7, 0.5
SDES = [VPLinear(), SubVariancePreserving(), VarianceExploding(0.01, 10.0), EDM(10.0)]
named = pytest.mark.parametrize("process", SDES, ids=lambda p: type(p).__name__)


def scalar(process):
    return gaussian_denoiser(
        process,
        torch.tensor([MEAN], dtype=torch.float64),
        torch.tensor([[VARIANCE]], dtype=torch.float64),
    )


def even(process, steps, start=0.99, end=0.02):
    ends = process.log_snr(torch.tensor([start, end], dtype=torch.float64))
    return process.t_of(
        torch.linspace(float(ends[0]), float(ends[1]), steps + 1, dtype=torch.float64)
    )


def moments(process, sampler, grid):
    """Mean and variance of x at the grid's end, from x_t's own at its start: x_s = a x_t + b +
    noise terms, each read off the step.
    """
    oracle = scalar(process)
    alpha, sigma = oracle.scales(grid[0])
    mean, variance = alpha * MEAN, alpha**2 * VARIANCE + sigma**2
    for t, s in pairwise(grid):
        x = torch.tensor([[0.0], [1.0], [0.0]]).double()
        # two x with one noise, then another noise
        seeds = [torch.Generator().manual_seed(k) for k in (0, 0, 1)]
        z = [
            torch.randn(1, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
            for k in (0, 1)
        ]
        out = sampler.step(oracle, x, t, s, (), seeds, {})[0][:, 0]
        gain, spread = out[1] - out[0], (out[2] - out[0]) / (z[1] - z[0])
        mean, variance = gain * mean + out[0] - spread * z[0], gain**2 * variance + spread**2
    return float(mean), float(variance)


def gap(process, sampler, steps):
    grid = even(process, steps)
    alpha, sigma = scalar(process).scales(grid[-1])
    mean, variance = moments(process, sampler, grid)
    truth = float(alpha**2 * VARIANCE + sigma**2)
    return max(abs(mean - float(alpha) * MEAN), abs(variance / truth - 1))


@named
@pytest.mark.parametrize(
    "sampler", [EulerMaruyama(), ReverseDiffusion(), DDPM()], ids=lambda s: type(s).__name__
)
def test_predictors_converge_to_the_marginal_with_order_one(process, sampler):
    coarse, fine = gap(process, sampler, 200), gap(process, sampler, 400)
    assert fine < 0.05
    assert math.log2(coarse / fine) > 0.8


def test_reverse_diffusion_is_the_papers():
    """Song et al., eq. 46 and appendix E: for VE, and for VP with beta_i = 1 - alpha_t^2 /
    alpha_s^2.
    """
    t, s = torch.tensor([0.6, 0.55], dtype=torch.float64)
    x = torch.randn(3, 2, dtype=torch.float64)
    z = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for process in (VarianceExploding(), VPLinear()):
        oracle = mixture(process)
        score = oracle.score(x, t)
        if isinstance(process, VPLinear):
            beta = 1 - (process.alpha(t) / process.alpha(s)) ** 2
            expected = (2 - (1 - beta).sqrt()) * x + beta * score + beta.sqrt() * z
        else:
            growth = process.sigma(t) ** 2 - process.sigma(s) ** 2
            expected = x + growth * score + growth.sqrt() * z
        got, _ = ReverseDiffusion().step(oracle, x, t, s, (), torch.Generator().manual_seed(0), {})
        assert torch.allclose(got, expected, rtol=1e-10)


def test_first_order_sde_solver_is_ancestral():
    process = ddpm_linear()
    oracle, grid, x = (
        mixture(process),
        grids.build("trailing")(process, 20),
        torch.randn(4, 2, dtype=torch.float64),
    )
    a, b = (
        sample(oracle, x, grid, s, randomness=generators(0, range(4)))
        for s in (Multistep(1, exact, eta=1.0), DDPM())
    )
    assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize(("snr", "steps"), [(0.3, 60), (0.1, 250)])
def test_langevin_alone_reaches_the_marginal(snr, steps):
    """From twice the spread; in d dimensions the chain settles at 1 / (1 - snr^2) of the variance,
    which small steps take to the truth.
    """
    process, d, t = VPLinear(), 512, torch.tensor(0.4, dtype=torch.float64)
    oracle = MixtureDenoiser(
        process,
        torch.ones(1).double(),
        torch.zeros(1, d).double(),
        torch.full((1, d), 0.5).double(),
    )
    truth = float(process.alpha(t) ** 2 * 0.5 + process.sigma(t) ** 2)
    g = torch.Generator().manual_seed(0)
    x = 2 * truth**0.5 * torch.randn(32, d, generator=g, dtype=torch.float64)
    for _ in range(steps):
        x = Langevin(snr)(oracle, x, t, g, {})
    assert float(x.square().mean()) / truth == pytest.approx(1 / (1 - snr**2), rel=0.015)
    assert snr > 0.1 or float(x.square().mean()) / truth == pytest.approx(1, abs=0.02)


def test_the_corrector_repairs_the_predictor():
    process, d = VPLinear(), 256
    oracle = gaussian_denoiser(process, torch.zeros(d).double(), 0.5 * torch.eye(d).double())
    x = torch.randn(32, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid, g = (
        grids.build({"name": "log-snr", "sigma_min": 0.05})(process, 20)[:-1],
        torch.Generator().manual_seed(1),
    )
    truth = float(process.alpha(grid[-1]) ** 2 * 0.5 + process.sigma(grid[-1]) ** 2)
    both = DDPM(), PredictorCorrector(DDPM(), Langevin(0.1), 4)
    plain, corrected = (
        abs(float(sample(oracle, x, grid, s, randomness=g).square().mean()) / truth - 1)
        for s in both
    )
    assert corrected < 0.5 * plain


def test_annealed_langevin_recovers_the_weights_of_a_mixture():
    process = VarianceExploding(0.05, 10.0)
    weights, means = torch.tensor([0.25, 0.75]).double(), torch.tensor([[-2.0], [2.0]]).double()
    oracle = MixtureDenoiser(process, weights, means, torch.full((2, 1, 1), 0.01).double())
    g = torch.Generator().manual_seed(0)
    grid = grids.build({"name": "log-snr", "sigma_min": 0.05})(process, 14)
    x = sample(
        oracle,
        torch.randn(4000, 1, generator=g).double(),
        grid,
        AnnealedLangevin(0.2, 60),
        randomness=g,
    )
    share = (x < 0).double().mean()
    assert float(share) == pytest.approx(0.25, abs=0.02)
    assert float(x[x < 0].mean()) == pytest.approx(-2, abs=0.02)


def test_annealed_langevin_ends_denoised_and_refuses_large_steps():
    process = VarianceExploding()
    oracle, x = mixture(process), torch.randn(3, 2, dtype=torch.float64)
    t, s = torch.tensor([0.2, 0.0], dtype=torch.float64)
    still = AnnealedLangevin(1e-30, 1)  # too small to move: what is left is the denoising
    assert torch.allclose(
        still.step(oracle, x, t, s, (), torch.Generator(), {})[0], oracle(x, t).mean, atol=1e-10
    )
    with pytest.raises(InputError, match="step_size"):
        AnnealedLangevin(3.0)


class Stay:
    """Returns what it is given, and the time."""

    def step(self, denoiser, x_t, t, s, history, randomness, condition):
        return x_t, (t,)


@pytest.mark.parametrize("process", [EDM(), VPLinear()], ids=["edm", "vp"])
def test_churn_raises_the_noise_as_it_says(process):
    t = process.t_of_noise_level(torch.tensor(2.0))
    z = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.ones(3, 2, dtype=torch.float64)
    got, (above,) = Churn(0.3, s_noise=1.1, solver=Stay()).step(
        mixture(process), x, t, t, (), torch.Generator().manual_seed(0), {}
    )
    assert float(process.noise_level(above)) == pytest.approx(2.6)
    expected = process.alpha(above) * (x / process.alpha(t) + 1.1 * math.sqrt(2.6**2 - 4) * z)
    assert torch.allclose(got, expected, rtol=1e-10)
    outside, (same,) = Churn(0.3, s_max=1.0, solver=Stay()).step(
        mixture(process), x, t, t, (), torch.Generator(), {}
    )
    assert torch.equal(outside, x)
    assert same == t


@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
def test_inversion_is_ddims_inverse(process):
    oracle = mixture(process)
    x = oracle.draw(8, torch.Generator().manual_seed(0))
    grid = even(process, 32, 0.9, 0.1)

    def error(iterations):
        start = invert(oracle, x, grid, iterations=iterations)
        return float(
            (list(trajectory(oracle, start, grid, DDIM(), randomness=torch.Generator()))[-1].x - x)
            .abs()
            .max()
        )

    assert error(30) < 1e-8 < error(5) < 0.3 * error(1)


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp-2m", "dpmpp-3m", "adams", "unipc", "deis"])
def test_a_flow_starts_from_noise_alone(name):
    """alpha = 0 at t = 1: a Gaussian's flow takes the noise z to mean + deviation z."""
    z = torch.tensor([[-1.5], [0.0], [0.8]], dtype=torch.float64)
    grid = torch.linspace(1, 0, 101, dtype=torch.float64)
    x = sample(scalar(RectifiedFlow()), z, grid, samplers.build(name), randomness=torch.Generator())
    assert torch.allclose(x, MEAN + math.sqrt(VARIANCE) * z, atol=0.02)


@pytest.mark.parametrize("name", ["euler-maruyama", "calibrated-draws", "annealed-langevin"])
def test_what_divides_by_alpha_does_not(name):
    grid = torch.tensor([1.0, 0.5, 0.0])
    with pytest.raises(InputError, match="noise alone"):
        sample(
            scalar(RectifiedFlow()),
            torch.zeros(1, 1).double(),
            grid,
            samplers.build(name),
            randomness=torch.Generator(),
        )
    with pytest.raises(InputError, match="noise alone"):
        invert(scalar(RectifiedFlow()), torch.zeros(1, 1).double(), grid)
