"""Likelihood and its bound against the exact densities of a Gaussian and a mixture in 8
dimensions.
"""

import math

import pytest
import torch
from support.priors import spread

from unfog.core.bound import Bins
from unfog.core.codec import Identity, Range
from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import (
    RectifiedFlow,
    SubVariancePreserving,
    VarianceExploding,
    VPLinear,
    ddpm_linear,
)
from unfog.errors import InputError
from unfog.evaluation.likelihood import bits_per_dim, dequantise, log_likelihood
from unfog.evaluation.variational import variational_bound
from unfog.sampling.ancestral import large, posterior, small
from unfog.sampling.flow import full_trace, hutchinson, probability_flow
from unfog.sampling.grids import grids

D = 8
SDES = [VPLinear(), SubVariancePreserving(), VarianceExploding()]
named = pytest.mark.parametrize("process", SDES, ids=lambda p: type(p).__name__)


def priors(process):
    """A Gaussian, and two narrow components; centred, as data on a model's scale is."""
    mean = torch.linspace(-1, 1, D, dtype=torch.float64)
    gaussian = gaussian_denoiser(process, torch.zeros(D).double(), 0.3 * spread(D))
    pair = MixtureDenoiser(
        process, torch.ones(2).double(), torch.stack([mean, -mean]), 0.1 * spread(D).expand(2, D, D)
    )
    return {"gaussian": gaussian, "mixture": pair}


def errors(oracle, x, trace, **options):
    """Differences from the truth in bits per dimension, sample by sample."""
    truth = oracle.log_density(x, torch.zeros(()).double())
    found = log_likelihood(oracle, x, trace, **options)
    return bits_per_dim(found, x[0].numel(), Identity()) - bits_per_dim(
        truth, x[0].numel(), Identity()
    )


@named
@pytest.mark.parametrize("prior", ["gaussian", "mixture"])
def test_bits_per_dim_are_the_truth(process, prior):
    oracle = priors(process)[prior]
    x = oracle.draw(8, torch.Generator().manual_seed(0))
    coarse, fine = (
        errors(oracle, x, full_trace, tolerance=tolerance) for tolerance in (1e-4, 5e-5)
    )
    assert float(fine.abs().max()) < 1e-3
    assert float((fine - coarse).abs().max()) < 1e-3


@named
@pytest.mark.parametrize("modes", [1, 2], ids=["gaussian", "mixture"])
def test_bits_per_dim_of_images_are_the_truth(process, modes):
    """3 x 32 x 32 numbers of unlike variances. A Gaussian's Jacobian is diagonal then, and random
    signs find its trace exactly; a mixture's is that and a matrix of low rank, which is lost among
    so many dimensions.
    """
    g = torch.Generator().manual_seed(0)
    means = 0.3 * torch.randn(modes, 3072, generator=g, dtype=torch.float64)
    means = means - means.mean(0)
    variances = (
        torch.logspace(-2, 0, 3072, dtype=torch.float64)
        * torch.linspace(1, 0.5, modes).double()[:, None]
    )
    oracle = MixtureDenoiser(process, torch.ones(modes).double(), means, variances)
    x = oracle.draw(4, g).view(4, 3, 32, 32)
    coarse, fine = (
        errors(oracle, x, hutchinson(x, torch.Generator().manual_seed(1)), tolerance=tolerance)
        for tolerance in (1e-4, 5e-5)
    )
    assert float(fine.abs().max()) < 1e-3
    assert float((fine - coarse).abs().max()) < 1e-3


@named
def test_hutchinson_agrees_with_the_full_trace(process):
    """One probe a trajectory is unbiased: of 600 copies of a sample the mean is the full trace's,
    within its own error.
    """
    oracle = priors(process)["mixture"]
    x = oracle.draw(1, torch.Generator().manual_seed(1)).expand(600, D).contiguous()
    exact = log_likelihood(oracle, x[:1], full_trace, tolerance=1e-4)
    found = log_likelihood(
        oracle, x, hutchinson(x, torch.Generator().manual_seed(0)), tolerance=1e-4
    )
    scatter = float(found.std()) / math.sqrt(600)
    assert scatter > 0
    assert abs(float(found.mean() - exact)) < 4 * scatter
    assert scatter / (D * math.log(2)) < 0.02


@named
def test_probability_flow_keeps_the_standardised_sample_of_a_gaussian(process):
    """The flow of a Gaussian takes x to the same place in its own eigenbasis at every time."""
    oracle = gaussian_denoiser(
        process, torch.zeros(2).double(), torch.diag(torch.tensor([0.5, 2.0])).double()
    )
    times = process.t_of_noise_level(torch.tensor([0.01, 5.0]))
    x = torch.tensor([[0.3, -1.0], [1.0, 2.0]], dtype=torch.float64)
    scale = [
        (process.alpha(t) ** 2 * torch.tensor([0.5, 2.0]).double() + process.sigma(t) ** 2).sqrt()
        for t in times
    ]
    there = probability_flow(oracle, x, times[0], times[1], tolerance=1e-8)
    assert torch.allclose(there, x / scale[0] * scale[1], rtol=1e-6)
    assert torch.allclose(
        probability_flow(oracle, there, times[1], times[0], tolerance=1e-8), x, rtol=1e-6
    )


def test_bits_of_uniform_data_are_the_bits_of_its_bins():
    """256 equal bins over the range cost 8 bits whatever the units and the codec."""
    for codec, low, high in (
        (Range(0, 255), 0, 256),
        (Range(-3.0, 5.0), -3.0, 5.0),
        (Identity(), 0.0, 1.0),
    ):
        ends = codec.encode(torch.tensor([low, high], dtype=torch.float64))
        log_p = -3 * torch.log(ends[1] - ends[0])[None]
        assert float(bits_per_dim(log_p, 3, codec, (high - low) / 256)) == pytest.approx(
            8.0, abs=1e-12
        )


def test_dequantisation_is_uniform_within_the_bin():
    x = dequantise(torch.full((1, 40_000), 7.0).double(), 2.0, torch.Generator().manual_seed(0))
    assert float(x.min()) >= 7
    assert float(x.max()) <= 9
    assert float(x.mean()) == pytest.approx(8, abs=0.02)
    assert float(x.var()) == pytest.approx(4 / 12, abs=0.01)


@pytest.mark.parametrize("process", [*SDES, ddpm_linear()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("steps", [4, 40])
def test_the_bound_is_tight_for_a_gaussian(process, steps):
    """With the posterior's own variance the chain is the exact reverse of the forward one, at any
    number of steps.
    """
    variances = torch.linspace(0.05, 0.5, D).double()
    oracle = gaussian_denoiser(process, torch.zeros(D).double(), torch.diag(variances))
    g = torch.Generator().manual_seed(0)
    x = oracle.draw(4000, g)
    grid = grids.build({"name": "log-snr", "sigma_min": 0.02})(process, steps)
    bound = variational_bound(oracle, x, grid, posterior, randomness=g)
    gap = (bound + oracle.log_density(x, torch.zeros(()).double())) / (D * math.log(2))
    assert float(gap.mean()) == pytest.approx(0, abs=4 * float(gap.std()) / math.sqrt(4000) + 1e-3)
    assert float(variational_bound(oracle, x, grid, large, randomness=g).mean()) > float(
        bound.mean()
    )


def test_bins_sum_to_one_and_narrow_bins_are_the_density():
    bins, centres = Bins(), torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, variance in ((0.2, 0.01), (-0.99, 1e-4), (0.5, 4.0)):
        mass = bins(centres, torch.tensor(mean).double(), torch.tensor(variance).double()).exp()
        assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    far = Bins(1e-4)(
        torch.tensor([0.5]).double(), torch.tensor([0.0]).double(), torch.tensor([0.0025]).double()
    )
    assert float(far) == pytest.approx(
        -50 + math.log(1e-4 / (0.05 * math.sqrt(2 * math.pi))), abs=1e-3
    )


def test_what_cannot_be_bounded_is_refused():
    oracle, x = priors(VPLinear())["gaussian"], torch.zeros(1, D).double()
    with pytest.raises(InputError, match="variance above zero"):
        variational_bound(
            oracle, x, torch.tensor([1.0, 0.5, 0.0]), small, randomness=torch.Generator()
        )
    with pytest.raises(InputError, match="ends at t = 0"):
        variational_bound(oracle, x, torch.tensor([1.0, 0.5]), large, randomness=torch.Generator())
    with pytest.raises(InputError, match="noise levels"):
        log_likelihood(priors(RectifiedFlow())["gaussian"], x, full_trace)
