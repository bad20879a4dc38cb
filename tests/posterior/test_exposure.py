"""The likeliest exposure is the maximum of the oracle's own likelihood, from any start."""

import pytest
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.physics.exposure import Exposure
from unfog.posterior.exposure import fixed_point, likeliest_exposure

PIXELS, NOISE, TRUTH = 512, 0.05, (0.3, -0.2)


def scene(process):
    """Independent pixels about a pattern: a probe of signs then gives the trace exactly."""
    mean = 0.5 * torch.sin(torch.arange(PIXELS) / 10.0).double()
    prior = MixtureDenoiser(
        process, torch.ones(1).double(), mean[None], torch.full((1, PIXELS), 0.1).double()
    )
    x, e = (
        prior.draw(2, torch.Generator().manual_seed(0)),
        torch.randn(2, PIXELS, generator=torch.Generator().manual_seed(1)).double(),
    )
    return prior, (TRUTH[0] * x + TRUTH[1] + NOISE * e)[:, None]


def highest(prior, y):
    """ln f and m of the largest p_k((y - m) / f) / f^d, by L-BFGS."""
    theta = torch.tensor([TRUTH[0], 0.0]).double().log1p().repeat(len(y), 1).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [theta],
        max_iter=200,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimiser.zero_grad()
        factor, offset = theta[:, 0].exp(), theta[:, 1]
        t = prior.process.t_of_noise_level(NOISE / factor)
        u = prior.process.alpha(t)[:, None] * (y[:, 0] - offset[:, None]) / factor[:, None]
        value = -(prior.log_density(u, t) - PIXELS * (factor / prior.process.alpha(t)).log()).sum()
        value.backward()
        return value

    optimiser.step(loss)
    return theta.detach()


@pytest.mark.parametrize("process", [EDM(80.0), VPLinear()], ids=["edm", "vp"])
@pytest.mark.parametrize("start", [(1.0, 0.0), (3.0, 0.5), (0.05, 0.0)])
def test_it_is_the_maximum_of_the_likelihood(process, start):
    prior, y = scene(process)
    begin = Exposure(*(torch.full((2,), v).double() for v in start))
    noise = torch.full((2,), NOISE).double()
    found = likeliest_exposure(
        prior, y, begin, noise, generators(0, range(2)), levels=(2.0, 1.0, 0.5, 0.0), iterations=12
    )
    expected = highest(prior, y)
    assert float((found.factor.log() - expected[:, 0]).abs().max()) < 1e-4
    assert float((found.offset - expected[:, 1]).abs().max()) < 1e-4
    assert float((found.factor / TRUTH[0] - 1).abs().max()) < 0.1  # what so few pixels tell


def test_a_fixed_point_is_found_that_plain_steps_reach_slowly():
    """A linear map that moves 1 % and 30 % of the way: two dimensions are learned in a few
    steps.
    """
    goal, slow = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([0.01, 0.3]).double()
    found = fixed_point(lambda theta: theta + slow * (goal - theta), torch.zeros(1, 2).double(), 12)
    assert torch.allclose(found, goal, atol=1e-6)


def test_no_noise_is_refused():
    prior, y = scene(EDM(80.0))
    with pytest.raises(InputError, match="above zero"):
        likeliest_exposure(
            prior, y, Exposure.stretching(y), torch.zeros(2), generators(0, range(2))
        )
