"""Seamless samples: a prior with borders becomes one without."""

import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.seamless import Seamless
from unfog.evaluation.law import affine_law
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids

PROCESS, N = EDM(10.0), 48


def prior():
    """A stationary Gaussian on a line whose ends know nothing of each other."""
    place = torch.arange(N).double()
    return gaussian_denoiser(
        PROCESS, torch.full((N,), 0.3).double(), torch.exp(-(place[:, None] - place).abs() / 1.2)
    )


def around(covariance):
    """The covariance of each pixel with the next, the last one's next being the first."""
    return covariance[torch.arange(N), (torch.arange(N) + 1) % N]


def test_the_ends_are_neighbours():
    """Across the seam samples are correlated as neighbours are, where the prior alone has nothing;
    mean and variance stay.
    """
    times = grids.build({"name": "karras", "sigma_min": 0.05})(PROCESS, 20)
    (mean, bare), (mean_around, seamless) = (
        affine_law(p, DDPM(), times, (1, N)) for p in (prior(), Seamless(prior()))
    )
    inside = float(around(bare)[5:-5].mean())
    assert abs(float(around(bare)[-1])) < 0.01 * inside
    assert float((around(seamless) / inside - 1).abs().max()) < 0.05
    assert float((seamless.diagonal() / bare.diagonal().mean() - 1).abs().max()) < 0.05
    assert torch.allclose(mean_around, mean, atol=0.02)


def test_no_view_knows_where_a_sample_begins():
    """Shifted by half its size along any axes a sample is denoised alike, with the image it is
    conditioned on.
    """

    class Cornered(Denoiser):
        process = PROCESS

        def forward(self, x_t, t, **condition):
            place = torch.linspace(0, 1, x_t.shape[2], dtype=x_t.dtype)[:, None] * torch.linspace(
                1, 2, x_t.shape[3], dtype=x_t.dtype
            )
            return Posterior(
                torch.tanh(x_t + place)
                + condition["map"] * place
                + condition["label"].view(-1, 1, 1, 1)
            )

    x, picture = (
        torch.randn(2, 1, 6, 8, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        for k in (0, 1)
    )
    t, label, denoiser = torch.tensor(0.3), torch.tensor([1.0, 2.0]), Seamless(Cornered())
    here = denoiser(x, t, map=picture, label=label).mean
    for shift in ((3, 0), (0, 4), (3, 4)):
        there = denoiser(
            x.roll(shift, (2, 3)), t, map=picture.roll(shift, (2, 3)), label=label
        ).mean
        assert torch.allclose(there, here.roll(shift, (2, 3)), atol=1e-12)


def test_a_denoiser_without_borders_is_left_as_it_is():
    class Pointwise(Denoiser):
        process = PROCESS

        def forward(self, x_t, t, **condition):
            return Posterior(torch.sin(x_t))

    x = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    assert torch.allclose(
        Seamless(Pointwise())(x, torch.tensor(0.3)).mean, torch.sin(x), atol=1e-12
    )
