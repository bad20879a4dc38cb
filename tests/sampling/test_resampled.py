"""Resampling brings a coarse sampler nearer to the law, and leaves an exact one where it is."""

import pytest
import torch

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.sampling import grids, samplers
from unfog.sampling.loop import solve
from unfog.sampling.resampled import Resampled

DRAWS = 4000


def deviation(sampler, steps):
    """The deviation of draws of a normal number of deviation .3, by so coarse a grid."""
    process = EDM(20.0)
    variance = torch.tensor([[0.09]], dtype=torch.float64)
    denoiser = gaussian_denoiser(process, torch.zeros(1, dtype=torch.float64), variance)
    grid = grids.build("karras")(process, steps)
    streams = generators(0, range(DRAWS))
    noise = torch.stack([torch.randn(1, 1, generator=g, dtype=torch.float64) for g in streams])
    x = noise * process.sigma(grid[0])
    return float(solve(denoiser, x, grid, sampler, randomness=streams).std())


def test_a_coarse_sampler_comes_nearer_to_the_law():
    coarse = samplers.build("ddpm")
    once, often = (deviation(Resampled(coarse, repeats), 5) for repeats in (1, 6))
    assert once == pytest.approx(deviation(coarse, 5))
    assert abs(often - 0.3) < 0.8 * abs(once - 0.3)


def test_on_a_fine_grid_it_changes_nothing():
    fine = samplers.build("ddpm")
    once, often = (deviation(Resampled(fine, repeats), 60) for repeats in (1, 3))
    assert often == pytest.approx(once, rel=0.03)


def test_it_calls_the_denoiser_repeats_times_jump():
    denoiser = gaussian_denoiser(EDM(20.0), torch.zeros(1), torch.ones(1, 1))
    calls = []
    denoiser.register_forward_hook(lambda *_: calls.append(1))
    grid = grids.build("karras")(denoiser.process, 4)
    sampler = Resampled(samplers.build("ddpm"), repeats=3, jump=2)
    solve(denoiser, torch.zeros(2, 1, 1), grid, sampler, randomness=generators(0, range(2)))
    assert len(calls) == 4 * 3 * 2
    with pytest.raises(InputError, match="at least 1 repeat"):
        Resampled(samplers.build("ddpm"), repeats=0)
