"""What posterior methods draw: their law, the measurement, the posterior where they are exact;
calls and batches.
"""

import pytest
import torch
from support.methods import (
    BUILD,
    EVERY,
    OPERATORS,
    SIGMA,
    D,
    Y,
    matrix,
    methods,
    operators,
    prepared,
)
from support.priors import gaussian

from unfog.core.denoiser import Denoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.evaluation.law import affine_law
from unfog.posterior.dps import DPS
from unfog.sampling.ancestral import DDIM, DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers


@pytest.mark.parametrize("name", EVERY)
def test_drawn_samples_have_the_law(name):
    """Within the Monte-Carlo error of 4000 draws; under another sampler for the methods that leave
    the choice.
    """
    process, operator, n = EDM(10.0), OPERATORS["mask"], 4000
    (oracle, _, _), y, g = gaussian(process, D), operator(Y), torch.Generator().manual_seed(0)
    method, sampler = prepared(name, oracle, operator, y)
    sampler = DDIM(0.5) if name in BUILD else sampler
    times = grids.build("karras")(process, 6)
    x = sample(method, torch.randn(n, 1, D, generator=g).double(), times, sampler, randomness=g)[
        :, 0
    ]
    mean, covariance = affine_law(method, sampler, times, (1, D))
    spread = covariance.diagonal().clamp(min=1e-12).sqrt()
    assert float(((x.mean(0) - mean) / spread).abs().max()) < 4.5 / n**0.5
    error = (x.T.cov() - covariance) / (torch.outer(spread, spread) * (2 / n) ** 0.5)
    assert float(error.abs().max()) < 4.5


class Counted(Denoiser):
    """A prior that counts its calls."""

    def __init__(self, prior):
        super().__init__()
        self.prior, self.process, self.calls = prior, prior.process, 0

    def forward(self, x_t, t, **condition):
        self.calls += 1
        return self.prior(x_t, t)


@pytest.mark.parametrize("name", [*EVERY, "dps-default"])
def test_one_network_call_a_step_and_no_dependence_on_the_batch(name):
    """RePaint: repeats times jump, as its paper says."""
    prior, operator = gaussian(VPLinear(), D)[0], OPERATORS["blocks"]
    times = grids.build("uniform")(prior.process, 5)

    def run(n):
        counted, randomness = Counted(prior), generators(0, range(n))
        y = operator(normal((n, 1, D), generators(1, range(n)), like=prior.means))
        method, sampler = (
            (DPS(counted, operator, y, SIGMA), DDPM())
            if name == "dps-default"
            else prepared(name, counted, operator, y)
        )
        return sample(
            method,
            normal((n, 1, D), randomness, like=prior.means),
            times,
            sampler,
            randomness=randomness,
        ), counted.calls

    (many, calls), (one, _) = run(64), run(1)
    assert calls == (5 * 3 * 2 if name == "repaint" else 5)
    assert torch.allclose(many[0], one[0], atol=1e-10)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp-2m", "unipc", "euler-maruyama"])
@methods
def test_any_sampler_brings_the_sample_to_the_measurement(name, sampler):
    prior, operator = gaussian(EDM(10.0), D)[0], OPERATORS["mask"]
    y, g = 2 + operator(Y) * 0, torch.Generator().manual_seed(0)
    y, noise = y * operator.mask, torch.randn(200, 1, D, generator=g).double()
    times = grids.build("karras")(prior.process, 10)
    x, without = (
        sample(m, noise, times, samplers.build(sampler), randomness=g)
        for m in (BUILD[name](prior, operator, y), prior)
    )
    assert float((operator(x) - y).norm()) < 0.5 * float((operator(without) - y).norm())


@pytest.mark.slow
@operators
@pytest.mark.parametrize(
    ("sampler", "steps"),
    [({"name": "calibrated-draws", "products": D}, 5), ("heun", 40)],
    ids=["calibrated", "heun"],
)
def test_mmps_draws_the_posterior(task, sampler, steps):
    """Mean within .05 posterior deviations and covariance within .10, of the exact law of what it
    draws.
    """
    process, operator = EDM(80.0), OPERATORS[task]
    (oracle, mean, covariance), y, a = gaussian(process, D), operator(Y), matrix(operator)
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + SIGMA**2 * torch.eye(len(a)))
    truth = mean + gain @ (y[0, 0] - a @ mean), covariance - gain @ a @ covariance
    times = grids.build({"name": "karras", "sigma_min": 0.02})(process, steps)
    found = affine_law(BUILD["mmps"](oracle, operator, y), samplers.build(sampler), times, (1, D))
    assert float(((found[0] - truth[0]) / truth[1].diagonal().sqrt()).abs().max()) < 0.05
    assert float((found[1] - truth[1]).norm() / truth[1].norm()) < 0.10
