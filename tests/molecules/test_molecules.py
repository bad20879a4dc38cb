"""Molecules in the core: the subspace without a centre of mass, in noise, samplers and
likelihoods.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.oracle import gaussian_denoiser
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.random import generators
from unfog.core.space import spaces
from unfog.evaluation.likelihood import log_likelihood
from unfog.molecules.egnn import EGNN
from unfog.molecules.sizes import draw_sizes, masks_of
from unfog.molecules.state import SPACE
from unfog.sampling.flow import full_trace
from unfog.sampling.grids import grids
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers

SIZES = (5, 3, 6)
PROCESS = processes.build({"name": "vp-polynomial"})


def denoiser() -> NetworkDenoiser:
    torch.manual_seed(0)
    egnn = EGNN(9, 9, width=16, layers=2).double()
    for value in egnn.parameters():
        torch.nn.init.normal_(value, std=0.15)
    return NetworkDenoiser(
        egnn, PROCESS, predictions.build({"name": "noise"}), labels.build({"name": "time"})
    )


def turned(x: Tensor, q: Tensor) -> Tensor:
    return torch.cat([torch.einsum("ij,bjn->bin", q, x[:, :3]), x[:, 3:]], 1)


def drawn(noise: Tensor, sampler: str = "ddim") -> Tensor:
    space = spaces.build(SPACE).within(masks_of(SIZES, 6))
    grid = grids.build({"name": "uniform"})(PROCESS, 8)
    return solve(
        denoiser(), noise, grid, samplers.build(sampler), randomness=generators(0, range(3)),
        space=space,
    )  # fmt: skip


def noise() -> Tensor:
    space = spaces.build(SPACE).within(masks_of(SIZES, 6))
    return space.noise((3, 9, 6), generators(1, range(3)), torch.zeros(1).double())


def test_samples_turn_with_their_noise_and_follow_its_order() -> None:
    x = noise()
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    out = drawn(x)
    assert out.abs().max() > 0.1
    assert (drawn(turned(x, q)) - turned(out, q)).abs().max() < 1e-10
    # Permuted within the largest molecule, which has no padding.
    order = torch.randperm(6)
    moved = x.clone()
    moved[2] = x[2][:, order]
    assert (drawn(moved)[2] - out[2][:, order]).abs().max() < 1e-10


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_the_centre_of_mass_stays_and_padding_stays_empty(sampler: str) -> None:
    out, mask = drawn(noise(), sampler), masks_of(SIZES, 6)
    assert out[:, :3].sum(2).abs().max() < 1e-12 * max(1, float(out.abs().max())) * 6
    assert bool((out[~mask.expand_as(out)] == 0).all())


def test_nats_of_a_gaussian_in_the_subspace_are_exact() -> None:
    # Five atoms, places alone: x = P z with z ~ N(0, 0.6 I), of 3 (5 - 1) dimensions.
    space = spaces.build({"name": "zero-centre"})
    n, variance = 5, 0.6
    process = processes.build({"name": "vp-linear"})
    projector = torch.eye(n, dtype=torch.float64) - 1 / n
    covariance = torch.kron(torch.eye(3, dtype=torch.float64), variance * projector)
    flat = gaussian_denoiser(process, torch.zeros(3 * n).double(), covariance)

    class Oracle(torch.nn.Module):
        process = flat.process

        def forward(self, x_t: Tensor, t: Tensor):
            found = flat(x_t.flatten(1), t)
            return type(found)(found.mean.view_as(x_t))

    draw = torch.Generator().manual_seed(0)
    x = math.sqrt(variance) * space.project(torch.randn(3, 3, n, generator=draw).double())
    found = log_likelihood(Oracle(), x, full_trace, cleanest=1e-4, space=space)
    free = 3 * (n - 1)
    truth = -0.5 * (x**2).sum((1, 2)) / variance - 0.5 * free * math.log(2 * math.pi * variance)
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=0)


def test_sizes_follow_their_prior_and_the_seed_alone() -> None:
    prior = [0.0, 0.0, 0.25, 0.75]
    sizes = draw_sizes(prior, range(4000))
    assert set(sizes) == {2, 3}
    assert sizes.count(3) / 4000 == pytest.approx(0.75, abs=0.03)
    assert draw_sizes(prior, [7]) == sizes[7:8]
    assert masks_of([2], 3).tolist() == [[[True, True, False]]]


def test_the_polynomial_process_is_the_authors_up_to_their_precision() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    s = 1e-5
    theirs = (1 - 2 * s) * (1 - t**2) ** 2 + s
    assert (PROCESS.alpha(t) ** 2 - theirs).abs().max() < 4e-3
    assert float(PROCESS.sigma(t[:1])) == 0
    assert float(PROCESS.alpha(t[-1:])) ** 2 == pytest.approx(s)
    back = PROCESS.t_of(PROCESS.log_snr(t[1:]))
    torch.testing.assert_close(back, t[1:], atol=1e-9, rtol=0)
