"""Orders of convergence, exact identities and batch independence of samplers, on a Gaussian mixture
in float64.
"""

import functools
import math

import pytest
import torch
from support.priors import PROCESSES, mixture

from unfog.core.process import EDM, VPLinear, ddpm_linear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.sampling.ancestral import DDIM, DDPM, large, posterior
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample, trajectory
from unfog.sampling.samplers import samplers

ORDERS = {
    "euler": 0.9,
    "ddim": 0.9,
    "heun": 1.7,
    "dpmpp-2m": 1.7,
    "dpmpp-2m-heun": 1.7,
    "dpmpp-3m": 1.7,
    "adams": 2.7,
    "unipc": 2.7,
    "deis": 1.9,  # of order 3 but for its first step, which is of order 1 and is not corrected
    "dpmpp-2m-sde": 1.7,
    "dpmpp-3m-sde": 1.7,
    "adams-3-sde": 1.9,  # without their noise; the last starts as deis does
}
# a corrector adds one
BY_ORDER = {"adams": {1: 1.9, 2: 2.9, 4: 3.9}, "unipc": {1: 1.9, 2: 2.9}, "deis": {1: 0.9, 2: 1.8}}
NOISY = {
    "ddpm",
    "euler-ancestral",
    "heun-churn",
    "calibrated-draws",
    "euler-maruyama",
    "reverse-diffusion",
} | {
    "predictor-corrector",
    "annealed-langevin",
}
QUIET = torch.Generator()


def even(process, start, end, steps):
    """A grid even in the log-SNR."""
    ends = process.log_snr(torch.tensor([start, end], dtype=torch.float64))
    return process.t_of(
        torch.linspace(float(ends[0]), float(ends[1]), steps + 1, dtype=torch.float64)
    ).clamp(max=1)


def solve(process, sampler, steps):
    x = torch.randn(
        16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ) * process.sigma(torch.ones(()).double())
    return list(
        trajectory(
            mixture(process),
            x,
            even(process, 1.0, 0.05, steps),
            samplers.build(sampler),
            randomness=QUIET,
        )
    )[-1].x


@functools.cache
def truth(process):
    return solve(process, {"name": "adams", "order": 4}, 768)


@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
@pytest.mark.parametrize("name", ORDERS)
def test_measured_order(name, process):
    hold({"name": name, "eta": 0.0} if name.endswith("sde") else name, process, ORDERS[name])


@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
@pytest.mark.parametrize(
    ("name", "order"), [(name, order) for name, orders in BY_ORDER.items() for order in orders]
)
def test_measured_order_of_each_order(name, order, process):
    hold({"name": name, "order": order}, process, BY_ORDER[name][order])


def hold(sampler, process, order):
    errors = [
        float((solve(process, sampler, n) - truth(process)).square().mean().sqrt())
        for n in (64, 128, 256)
    ]
    assert math.log2(errors[1] / errors[2]) >= order
    assert math.log2(errors[0] / errors[1]) >= order - 0.1


def test_every_sampler_has_a_measured_order_or_noise():
    assert {*ORDERS, *NOISY, "consistency"} == {
        *samplers.names()
    }  # which solves no equation: it jumps


def test_the_references_of_different_families_agree():
    """The truth of the orders above is not the solvers' own: Heun's method comes to the same
    place.
    """
    assert float((solve(VPLinear(), "heun", 1024) - truth(VPLinear())).abs().max()) < 1e-3


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_euler_is_ddim(process):
    oracle, grid = mixture(process), torch.linspace(1, 0, 11, dtype=torch.float64)
    x = torch.randn(4, 2, dtype=torch.float64)
    a, b = (sample(oracle, x, grid, samplers.build(n), randomness=QUIET) for n in ("euler", "ddim"))
    assert torch.allclose(a, b, atol=1e-9 * float(process.sigma(grid[0])))


def test_ddim_with_eta_one_is_ddpm_on_the_full_grid():
    process = ddpm_linear()
    oracle, grid = mixture(process), grids.build("trailing")(process, 1000)
    x = torch.randn(4, 2, dtype=torch.float64)
    ddim, ddpm = (
        sample(oracle, x, grid, s, randomness=generators(0, range(4)))
        for s in (DDIM(eta=1.0), DDPM())
    )
    assert torch.allclose(ddim, ddpm, atol=1e-9)


@pytest.mark.parametrize("name", samplers.names())
@pytest.mark.parametrize("process", [ddpm_linear(), EDM()], ids=["ddpm", "edm"])
def test_a_sample_does_not_depend_on_its_batch(name, process):
    oracle = mixture(process)
    grid = grids.build("karras")(process, 8)
    sampler = samplers.build({"name": name, "repeats": 3} if name == "annealed-langevin" else name)

    def run(n):
        randomness = generators(0, range(n))
        return sample(
            oracle, normal((n, 2), randomness, like=x), grid, sampler, randomness=randomness
        )

    x = torch.zeros(1, dtype=torch.float64)
    assert float((run(16)[0] - run(1)[0]).abs().max()) <= 1e-10


@pytest.mark.parametrize("variance", [posterior, large])
def test_ddpm_reaches_the_mixture(variance):
    """Means and spreads of 20,000 samples; with the posterior variance 200 steps are enough."""
    process = ddpm_linear()
    oracle = mixture(process)
    g = torch.Generator().manual_seed(0)
    grid = grids.build("trailing")(process, 200)
    x = sample(
        oracle,
        torch.randn(20_000, 2, generator=g, dtype=torch.float64),
        grid,
        DDPM(variance),
        randomness=g,
    )
    truth = oracle.draw(200_000, g)
    assert torch.allclose(x.mean(0), truth.mean(0), atol=0.05)
    assert torch.allclose(x.T.cov(), truth.T.cov(), atol=0.08)


def test_posterior_variance_beats_small_at_few_steps():
    """What the learned variance is for: ten ancestral steps of a Gaussian keep its spread."""
    from support.priors import gaussian

    process = ddpm_linear()
    oracle, _, covariance = gaussian(process, 2)
    g = torch.Generator().manual_seed(0)
    grid = grids.build("trailing")(process, 10)

    def gap(sampler):
        x = sample(
            oracle,
            torch.randn(50_000, 2, generator=g, dtype=torch.float64),
            grid,
            sampler,
            randomness=g,
        )
        return float((x.T.cov().diagonal() / covariance.diagonal() - 1).abs().max())

    assert gap(DDPM(posterior)) < 0.6 * gap(DDPM())


def test_the_history_matters():
    """Without its memory the multistep solver would be Euler: it must differ, and be nearer the
    truth.
    """
    process = VPLinear()
    oracle, x = (
        mixture(process),
        torch.randn(16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    grid = even(process, 1.0, 0.05, 32)
    truth = list(
        trajectory(
            oracle, x, even(process, 1.0, 0.05, 2048), samplers.build("heun"), randomness=QUIET
        )
    )[-1].x
    error = {
        n: float(
            (
                sample(
                    oracle, x / process.sigma(grid[0]), grid, samplers.build(n), randomness=QUIET
                )
                - truth
            ).norm()
        )
        for n in ("ddim", "dpmpp-2m")
    }
    assert error["dpmpp-2m"] < 0.3 * error["ddim"]


@pytest.mark.parametrize("grid", [[1.0, 0.5, 0.5, 0.0], [0.2, 0.5], [1.0], [1.2, 0.0]])
def test_bad_grids_are_refused(grid):
    with pytest.raises(InputError, match="decreases strictly"):
        sample(
            mixture(VPLinear()),
            torch.zeros(1, 2, dtype=torch.float64),
            torch.tensor(grid),
            DDIM(),
            randomness=QUIET,
        )


def test_a_learned_variance_must_be_there():
    class Bare(torch.nn.Module):
        pass

    oracle = mixture(VPLinear())
    plain = lambda x, t, **c: type(oracle(x, t))(oracle(x, t).mean)  # noqa: E731
    plain.process = oracle.process
    with pytest.raises(InputError, match="learned one"):
        sample(
            plain,
            torch.zeros(1, 2, dtype=torch.float64),
            torch.tensor([1.0, 0.5, 0.0]),
            DDPM(posterior),
            randomness=QUIET,
        )
