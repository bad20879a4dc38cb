"""Tiles: a stationary prior restored tile by tile is the prior of the whole."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.tiles import Tiled, shifted
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.physics.operators import Mask
from unfog.posterior.mmps import MMPS
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids

PROCESS, N, TILE = EDM(10.0), 28, 14


def prior(n):
    """A stationary Gaussian on a line of n pixels, correlated over one or two of them."""
    place = torch.arange(n).double()
    return gaussian_denoiser(
        PROCESS, torch.full((n,), 0.3).double(), torch.exp(-(place[:, None] - place).abs() / 1.5)
    )


@pytest.mark.slow
def test_a_restoration_in_tiles_is_that_of_the_whole():
    """The law of what MMPS draws: its mean within .05 posterior deviations, its covariance within
    .05, relative.
    """
    mask = Mask(torch.arange(N) % 3 > 0)
    y = mask(torch.randn(1, 1, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    times = grids.build({"name": "karras", "sigma_min": 0.05})(PROCESS, 5)
    whole, tiled = (
        affine_law(MMPS(p, mask, y, 0.2, iterations=N, tolerance=0), DDPM(), times, (1, N))
        for p in (prior(N), Tiled(prior(TILE), TILE))
    )
    assert float(((tiled[0] - whole[0]) / whole[1].diagonal().sqrt()).square().mean().sqrt()) < 0.05
    assert float((tiled[1] - whole[1]).norm() / whole[1].norm()) < 0.05


@pytest.mark.parametrize("overlap", [0, 3, 8, 15])
@pytest.mark.parametrize("shape", [(40, 21), (16, 16), (9, 30)])
def test_every_pixel_is_the_weighted_mean_of_its_tiles(shape, overlap):
    """A denoiser that knows no neighbours comes out unchanged, whatever the tiles; a small batch
    changes nothing.
    """

    class Pointwise(Denoiser):
        process = PROCESS

        def forward(self, x_t, t, **condition):
            return Posterior(x_t / (1 + t.view(-1, 1, 1, 1)) + condition["label"].view(-1, 1, 1, 1))

    x, t = (
        torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.tensor([0.2, 0.7], dtype=torch.float64),
    )
    label = torch.tensor([1.0, 5.0])
    expected = Pointwise()(x, t, label=label).mean
    for batch in (64, 3):
        assert torch.allclose(
            Tiled(Pointwise(), 16, overlap, batch)(x, t, label=label).mean, expected, atol=1e-12
        )


def test_bad_tiles_are_refused():
    with pytest.raises(InputError, match="overlap"):
        Tiled(prior(TILE), TILE, TILE)
    with pytest.raises(InputError, match="grid of the image"):
        Tiled(prior(TILE), TILE, maps=["picture"])(
            torch.zeros(1, 1, N), torch.tensor(0.5), picture=torch.zeros(1, 1, N // 2)
        )


def test_maps_are_cut_with_the_tiles_and_tokens_are_the_same_for_all():
    class Pointwise(Denoiser):
        process = PROCESS

        def forward(self, x_t, t, **condition):
            assert condition["picture"].shape[2:] == x_t.shape[2:]
            return Posterior(
                x_t + condition["picture"] + condition["tokens"].sum((1, 2))[:, None, None, None]
            )

    draw = torch.Generator().manual_seed(0)
    x, picture = torch.randn(2, 2, 1, 30, 21, generator=draw, dtype=torch.float64)
    tokens = torch.randn(2, 5, 3, generator=draw, dtype=torch.float64)
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    given = {"picture": picture, "tokens": tokens}
    whole = Pointwise()(x, t, **given).mean
    assert torch.allclose(
        Tiled(Pointwise(), 12, 5, 7, ["picture"])(x, t, **given).mean, whole, atol=1e-12
    )


def test_volumes_in_windows_of_a_side_for_each_axis_are_the_whole():
    """The denoised mean of a stationary prior, within .05 posterior deviations; without overlap it
    is not.
    """

    def volume(*sides):
        axes = [torch.arange(n).double() for n in sides]
        parts = [torch.exp(-(a[:, None] - a).abs() / 0.7) for a in axes]
        covariance = torch.kron(torch.kron(parts[0], parts[1]), parts[2])
        size = len(covariance)
        return Flat(gaussian_denoiser(PROCESS, torch.zeros(size).double(), covariance))

    class Flat(Denoiser):
        """A denoiser of vectors as one of volumes."""

        process = PROCESS

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x_t, t, **condition):
            return Posterior(self.inner(x_t.flatten(1), t).mean.view_as(x_t))

    x = torch.randn(2, 1, 14, 8, 10, generator=torch.Generator().manual_seed(0)).double()
    t = torch.tensor(0.06, dtype=torch.float64)
    whole = volume(14, 8, 10)(x, t).mean
    windows = Flat(volume(8, 4, 6).inner)
    errors = [
        float((Tiled(windows, (8, 4, 6), overlap)(x, t).mean - whole).square().mean().sqrt())
        for overlap in (None, 0)
    ]
    deviation = 0.6 / (1 + 0.36) ** 0.5  # of an uncorrelated value, at this noise
    assert errors[0] < 0.05 * deviation < errors[1]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(5, 60),
    side=st.integers(4, 20),
    share=st.floats(0, 0.9),
    t=st.floats(0, 1),
)
def test_shifted_tiles_cover_all_and_overlap_enough(
    n: int, side: int, share: float, t: float
) -> None:
    overlap = int(share * side)
    found = shifted([n, 7], side, overlap, torch.tensor([t, t], dtype=torch.float64))
    covered = torch.zeros(n, 7, dtype=torch.int)
    for place in found:
        covered[place] += 1
        assert place[0].stop - place[0].start == min(side, n)
    assert bool((covered > 0).all())
    starts = sorted({place[0].start for place in found})
    assert all(b - a <= side - overlap for a, b in pairwise(starts))


class Halved(Denoiser):
    """A denoiser that knows no neighbours."""

    process = PROCESS

    def forward(self, x_t, t, **condition):
        return Posterior(x_t / 2)


def test_shifted_tiles_move_with_time_and_a_pointwise_denoiser_does_not_mind():
    times = torch.linspace(0.05, 0.95, 16, dtype=torch.float64)
    # Eight places are possible.
    assert len({str(shifted([40], 16, 8, t)) for t in times}) >= 6
    x = torch.randn(2, 1, 40, 24, dtype=torch.float64)
    for t in times:
        tiled = Tiled(Halved(), 16, cover=shifted)(x, t).mean
        torch.testing.assert_close(tiled, x / 2, atol=1e-12, rtol=0)
