"""Spaces that states live in: projections, and that no sampler, loss or draw leaves them."""

from __future__ import annotations

import pytest
import torch

from unfog.core.denoiser import Denoiser, NetworkDenoiser, Posterior
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal_like
from unfog.core.shapes import expand
from unfog.core.space import PLAIN, Masked, Plain, Space, Split, ZeroCentre, spaces
from unfog.sampling.ancestral import DDPM, posterior
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.training.objectives.denoising import DenoisingObjective
from unfog.training.objectives.times import Uniform

SHAPE = (6, 3, 5)
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool).repeat(3, 1)[:, None]
GROUPS = ({"name": "zero-centre", "channels": 1}, {"name": "masked", "channels": 2})
SPACES: list[Space] = [
    Plain(),
    ZeroCentre(),
    ZeroCentre(MASK),
    Masked(MASK),
    Split(MASK, GROUPS),
]
names = [f"{type(space).__name__} {space.mask is not None}" for space in SPACES]


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("space", SPACES, ids=names)
def test_a_projection_is_idempotent_and_its_own_adjoint(space):
    x, y = randn(*SHAPE, seed=0), randn(*SHAPE, seed=1)
    p = space.project(x)
    assert torch.allclose(space.project(p), p, rtol=0, atol=1e-14)
    left, right = (p * y).flatten(1).sum(1), (x * space.project(y)).flatten(1).sum(1)
    assert torch.allclose(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", SPACES, ids=names)
def test_dimensions_are_the_trace_of_the_projection(space):
    """Also what |noise|^2 comes to on average: it is standard normal on the subspace."""
    axes = torch.eye(15, dtype=torch.float64).view(15, 1, 3, 5)
    trace = torch.zeros(6, dtype=torch.float64)
    for k in range(15):
        trace += space.project(axes[k].expand(6, 3, 5))[:, k // 5, k % 5]
    assert torch.allclose(space.dimensions(SHAPE), trace, rtol=0, atol=1e-12)
    squares = torch.stack(
        [space.noise(SHAPE, torch.Generator().manual_seed(s)).square() for s in range(400)]
    )
    mean = squares.flatten(2).sum(2).mean(0).double()
    assert torch.allclose(mean, trace, rtol=0.1)


class Shrinking(Denoiser):
    """The exact denoiser of N(0, s^2 P), which refuses a state that has left the subspace."""

    def __init__(self, process, space, s=0.7):
        super().__init__()
        self.process, self.space, self.s = process, space, s

    def forward(self, x_t, t, **condition):
        assert torch.allclose(self.space.project(x_t), x_t, rtol=0, atol=1e-9 * x_t.abs().max())
        alpha, sigma = self.scales(t)
        gain = alpha * self.s**2 / (alpha**2 * self.s**2 + sigma**2)
        variance = self.s**2 * sigma**2 / (alpha**2 * self.s**2 + sigma**2)
        x = x_t * expand(gain, x_t)
        return Posterior(x, torch.ones_like(x) * expand(variance, x_t))


@pytest.mark.parametrize("name", [n for n in samplers.names() if n != "calibrated-draws"])
def test_no_sampler_leaves_the_space(name):
    """All of a sampler's calls see states of the subspace, its own noise in the middle included."""
    space = ZeroCentre(MASK)
    denoiser = Shrinking(VPLinear(), space)
    times = grids.build("uniform")(denoiser.process, 6)
    noise, randomness = randn(*SHAPE), generators(0, range(6))
    sampler = samplers.build(name)
    x = sample(denoiser, noise, times, sampler, randomness=randomness, space=space)
    assert torch.allclose(space.project(x), x, rtol=0, atol=1e-12)
    assert float(x.abs().max()) > 0.1


def test_draws_have_the_covariance_of_the_subspace():
    """s^2 P, not s^2: the centre does not move, and the rest has all of its spread."""
    space, n = ZeroCentre(), 6000
    denoiser = Shrinking(EDM(20.0), space)
    times = grids.build("karras")(denoiser.process, 40)
    x = sample(
        denoiser,
        randn(n, 1, 4),
        times,
        DDPM(posterior),
        randomness=torch.Generator().manual_seed(1),
        space=space,
    )[:, 0]
    expected = 0.49 * (torch.eye(4, dtype=torch.float64) - 0.25)
    assert torch.allclose(x.T.cov(), expected, rtol=0, atol=0.03)
    assert float(x.mean(1).abs().max()) < 1e-12


def test_without_the_space_the_centre_goes_astray():
    denoiser = Shrinking(EDM(20.0), PLAIN)
    times = grids.build("karras")(denoiser.process, 20)
    quiet = torch.Generator().manual_seed(1)
    x = sample(denoiser, randn(200, 1, 4), times, DDPM(posterior), randomness=quiet)[:, 0]
    assert float(x.mean(1).std()) > 0.2


class Affine(torch.nn.Module):
    """A network that answers off the subspace."""

    def forward(self, x, label, context):
        return 0.3 * x + 1.0


@pytest.mark.parametrize("space", SPACES[1:], ids=names[1:])
def test_the_loss_does_not_see_what_is_off_the_space(space):
    """Data moved as a whole, or changed in the padding, and an output off the space, cost nothing;
    the same loss on plain states does see them.
    """
    denoiser = NetworkDenoiser(Affine(), VPLinear(), predictions.build("v"), labels.build("time"))
    x = space.project(randn(*SHAPE).float())
    off = torch.full_like(x, 2.0)
    off = off - space.project(off)
    losses = {}
    for name, kind in (("own", space.within(None)), ("plain", PLAIN)):
        objective = DenoisingObjective(Uniform(), space=kind)
        mask = {} if space.mask is None else {"mask": MASK}
        batches = [{"x": moved, **mask} for moved in (x, x + off)]
        losses[name] = [objective(denoiser, batch, range(6), 0, 1) for batch in batches]
    assert torch.allclose(*losses["own"], atol=1e-5)
    assert float((losses["plain"][0] - losses["plain"][1]).abs().max()) > 0.1
    assert float((losses["own"][0] - losses["plain"][0]).abs().max()) > 0.1


def test_noise_of_a_sample_does_not_depend_on_its_batch():
    space = ZeroCentre()
    alone = space.noise((1, 3, 5), generators(0, [4]))
    among = space.noise((6, 3, 5), generators(0, range(6)))
    assert torch.equal(alone[0], among[4])
    drawn = normal_like(torch.zeros(6, 3, 5), space.on(generators(0, range(6))))
    assert torch.equal(drawn, among)


def test_spaces_have_names():
    assert spaces.names() == ["masked", "plain", "split", "zero-centre"]
