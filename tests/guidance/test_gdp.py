"""GDP: an exposure that the call does not know is found, and with a known one it is DDPM with its own estimate of x_0."""

import pytest
import torch
from priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.guidance.gdp import GDP, at_estimate, at_state
from unfog.physics.exposure import Exposure
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample

PIXELS = 8192


def exposure(factor, offset, n=1):
    return Exposure(torch.full((n,), factor).double(), torch.full((n,), offset).double())


def dark(process, level, truth, noise=0.01):
    """A prior of many pixels, two images and what ``truth`` makes of them."""
    mean = level * torch.sin(torch.arange(PIXELS) / 40.0).double()
    prior = MixtureDenoiser(process, torch.ones(1).double(), mean[None], torch.full((1, PIXELS), 0.2).double())
    g = torch.Generator().manual_seed(0)
    x = prior.draw(2, g)[:, None]
    return prior, x, truth(x) + noise * torch.randn(x.shape, generator=g).double()


@pytest.mark.parametrize("process", [EDM(80.0), VPLinear()], ids=["edm", "vp"])
@pytest.mark.parametrize("start", [(1.0, 0.0), (3.0, 0.5), (0.05, 0.0)])
@pytest.mark.parametrize("truth", [(0.2, -0.3), (0.5, 0.1)])
def test_factor_and_offset_are_found_from_a_wrong_start(process, start, truth):
    """Within 5 %, and the image within what the noise leaves of it."""
    prior, x, y = dark(process, 0.5, exposure(*truth))
    grid = grids.build({"name": "karras", "sigma_min": 0.02, "sigma_max": 10.0})(process, 60)
    g = torch.Generator().manual_seed(1)
    found = sample(prior, torch.randn(x.shape, generator=g).double(), grid, GDP(y, exposure(*start, n=2)), randomness=g)
    line = Exposure.fitted(found, y)
    assert float((line.factor / truth[0] - 1).abs().max()) < 0.05
    assert float((line.offset / truth[1] - 1).abs().max()) < 0.05
    assert float((found - x).square().mean().sqrt()) < 0.15 * float((y - x).square().mean().sqrt())


@pytest.mark.parametrize("point", [at_estimate, at_state])
def test_with_a_known_exposure_it_is_ddpm_with_its_own_estimate(point):
    oracle, _, _ = gaussian(VPLinear(), 6)
    y = torch.randn(1, 1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Guided(Denoiser):
        process = oracle.process

        def forward(self, x_t, t, **condition):
            x0 = oracle(x_t, t).mean
            p = x0 if point is at_estimate else x_t / self.process.alpha(t)
            return Posterior(x0 + 0.3 * (y - 0.5 * p - 0.1) / 0.5)

    grid = grids.build("uniform")(oracle.process, 5)
    found = affine_law(oracle, GDP(y, exposure(0.5, 0.1), point, strength=0.3, rate=0.0), grid, (1, 6))
    expected = affine_law(Guided(), DDPM(), grid, (1, 6))
    assert torch.allclose(found[0], expected[0], atol=1e-8)
    assert torch.allclose(found[1], expected[1], atol=1e-8)


def test_a_sample_does_not_depend_on_the_batch():
    oracle, _, _ = gaussian(VPLinear(), 6)

    def run(n):
        y, randomness = normal((n, 1, 6), generators(1, range(n)), like=oracle.means), generators(0, range(n))
        noise = normal((n, 1, 6), randomness, like=oracle.means)
        return sample(oracle, noise, grids.build("uniform")(oracle.process, 5), GDP(y, exposure(1.0, 0.0, n)), randomness=randomness)

    assert torch.allclose(run(16)[0], run(1)[0], atol=1e-10)


def test_bad_shares_are_refused():
    with pytest.raises(InputError, match="shares up to 1"):
        GDP(torch.zeros(1, 1, 6), exposure(1.0, 0.0), strength=1.5)
