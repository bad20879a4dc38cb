"""A smooth gain that is not known: drawn with the image from their joint posterior, which numerical
integration gives for piecewise constant images of random levels.
"""

import functools

import pytest
import torch
from support.priors import gaussian

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.physics.gain import SmoothGain
from unfog.posterior.blind_gain import BlindGain, given_gain, krylov
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

SIDE, SIGMA, BLACK, DRAWS = 8, 0.1, -0.5, 150
LEVEL, PIXEL = 0.15, 0.05  # deviations of a region's level, and of a pixel about it
GAIN = SmoothGain.cosines((SIDE, SIDE), 2 * SIDE - 0.1, 0.25, 0.15)


def regions():
    """Which of four regions each pixel is in, (pixels, 4), and their mean levels above black."""
    g = torch.Generator().manual_seed(0)
    centres = torch.rand(4, 2, generator=g) * SIDE
    at = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))
    nearest = (at[:, None] - centres).square().sum(-1).argmin(1)
    return torch.nn.functional.one_hot(nearest, 4).double(), 0.4 + 1.2 * torch.rand(
        4, generator=g
    ).double()


MEMBER, LEVELS = regions()
MEAN = MEMBER @ LEVELS  # of x - black
COVARIANCE = LEVEL**2 * MEMBER @ MEMBER.T + PIXEL**2 * torch.eye(SIDE**2).double()
PRIOR = gaussian_denoiser(EDM(80.0), MEAN + BLACK, COVARIANCE)


def scene(seed):
    """An image, its gain's coefficients and the measurement."""
    g = torch.Generator().manual_seed(seed)
    x = PRIOR.draw(1, g).view(1, 1, SIDE, SIDE)
    c = GAIN.deviation * torch.randn(1, 3, generator=g).double()
    noise = SIGMA * torch.randn(x.shape, generator=g).double()
    return x, c, BLACK + GAIN(c) * (x - BLACK) + noise


@functools.cache
def integrated(seed):
    """Mean and deviation of c given the y of a scene, on grids that close in on it."""
    y = scene(seed)[2]
    mean, spread = torch.zeros(3).double(), GAIN.deviation
    for closer in (0.35, 0.35, 0.35, 0.0, 0.0, 0.0):
        axes = [
            m + s * torch.linspace(-4, 4, 15).double() for m, s in zip(mean, spread, strict=True)
        ]
        c = torch.cartesian_prod(*axes)
        f = GAIN(c).flatten(1)
        likelihood = torch.distributions.LowRankMultivariateNormal(
            f * MEAN, LEVEL * f[..., None] * MEMBER, (PIXEL * f) ** 2 + SIGMA**2
        )
        log = likelihood.log_prob((y - BLACK).flatten()) - (c / GAIN.deviation).square().sum(1) / 2
        weight = torch.softmax(log, 0)
        mean = weight @ c
        spread = torch.maximum((weight @ (c - mean).square()).sqrt(), closer * spread)
    return mean, spread


def drawn(y, sampler="ddpm", draws=DRAWS, steps=24, **options):
    """Images and coefficients of their gains."""
    blind = BlindGain(
        GAIN, y.expand(draws, -1, -1, -1), SIGMA, samplers.build(sampler), BLACK, **options
    )
    randomness = generators(0, range(draws))
    noise = normal((draws, 1, SIDE, SIDE), randomness, like=y)
    times = grids.build({"name": "karras", "sigma_max": 80.0})(PRIOR.process, steps)
    x = sample(PRIOR, noise, times, blind, randomness=randomness)
    return x, blind.given_image(x, randomness)


@pytest.mark.parametrize(("sampler", "seed"), [("ddpm", 0), ("heun", 5)])
def test_the_gain_has_the_joint_posterior(sampler, seed):
    """Mean within .2 posterior deviations, and the deviation within 15 %, besides what so few draws
    err by.
    """
    _, _, y = scene(seed)
    mean, spread = integrated(seed)
    _, c = drawn(y, sampler)
    assert float(((c.mean(0) - mean) / spread).abs().max()) < 0.2 + 3 / DRAWS**0.5
    assert float((c.std(0) / spread - 1).abs().max()) < 0.15 + 3 / (2 * DRAWS) ** 0.5


def test_without_a_gain_the_image_is_clearly_worse():
    """Held at 1, under the same prior."""
    x, _, y = scene(0)
    found, _ = drawn(y, draws=32)
    randomness = generators(0, range(32))
    noise = normal((32, 1, SIDE, SIDE), randomness, like=y)
    held = given_gain(PRIOR, torch.ones(32, 1, 1, 1).double(), y.expand(32, -1, -1, -1), SIGMA)
    times = grids.build({"name": "karras", "sigma_max": 80.0})(PRIOR.process, 24)
    without = sample(held, noise, times, DDPM(), randomness=randomness)
    error, worse = (float((z.mean(0) - x[0]).square().mean()) for z in (found, without))
    assert error < 0.5 * worse


def test_one_round_of_directions_is_wider_than_the_posterior():
    """Least squares leaves out how V ties pixels together; two rounds do not."""
    _, _, y = scene(5)
    _, spread = integrated(5)
    wide, right = (drawn(y, draws=80, steps=16, rounds=n)[1].std(0) / spread for n in (1, 2))
    assert float(wide.max()) > 1.2 * float(right.max())


def test_a_draw_of_c_is_that_of_the_dense_regression():
    """Against ridge regression with the full covariance of the residual: with directions that span
    all, to 1e-6 deviations; with two rounds, to a tenth of one.
    """
    _, last, y = scene(1)
    x_t = PRIOR.draw(1, torch.Generator().manual_seed(2)).view(1, 1, SIDE, SIDE)
    estimate, covariance = PRIOR.with_covariance(
        x_t, PRIOR.process.t_of_noise_level(torch.tensor(1.0).double())
    )
    f, u = GAIN(last).flatten(), (estimate - BLACK).flatten()
    v = torch.stack(
        [covariance(e.view(1, 1, SIDE, SIDE)).flatten() for e in torch.eye(64).double()]
    )
    s = f[:, None] * v * f + SIGMA**2 * torch.eye(64).double()
    g = (f * u)[:, None] * GAIN.basis.flatten(1).T
    target = (y - BLACK).flatten() - f * u + g @ last[0]
    precision = g.T @ torch.linalg.solve(s, g) + torch.diag(GAIN.deviation**-2)
    mean = torch.linalg.solve(precision, g.T @ torch.linalg.solve(s, target))
    spread = torch.linalg.inv(precision).diagonal().sqrt()
    blind = BlindGain(GAIN, y, SIGMA, DDPM(), BLACK)
    for rounds, tolerance in ((21, 1e-6), (2, 0.1)):
        found, root = blind._conditional(estimate, covariance, last, rounds)
        deviation = (root @ root.mT)[0].diagonal().sqrt()
        assert float(((found[0] - mean) / spread).abs().max()) < tolerance
        assert float((deviation / spread - 1).abs().max()) < tolerance


def test_given_the_gain_it_is_the_posterior_mean():
    """A Gaussian's, in closed form; exact where the gain is one number."""
    oracle, mean, covariance = gaussian(VPLinear(), 12)
    g = torch.Generator().manual_seed(0)
    x_t, y = (torch.randn(2, 1, 12, generator=g).double() for _ in range(2))
    for t in (0.1, 0.4, 0.9):
        time = torch.tensor(t).double()
        alpha, sigma = oracle.scales(time)
        for spread, tolerance in ((0.0, 1e-9), (0.3, 0.05)):
            f = (spread * torch.linspace(-1, 1, 12).double()).exp().view(1, 1, 12).expand(
                2, 1, 12
            ) * 1.3
            precision = covariance.inverse() + torch.diag(
                (alpha / sigma) ** 2 + (f[0, 0] / 0.2) ** 2
            )
            pull = covariance.inverse() @ mean + (alpha * x_t / sigma**2 + f * y / 0.04)[:, 0]
            expected = torch.linalg.solve(precision, pull.T).T
            found = given_gain(oracle, f, y, 0.2)(x_t, time).mean[:, 0]
            deviations = precision.inverse().diagonal().sqrt()
            assert float(((found - expected) / deviations).abs().max()) < tolerance


def test_directions_are_orthonormal_and_span_powers():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(2, 9, 9, generator=g).double()
    s, block = root @ root.mT, torch.randn(2, 2, 9, generator=g).double()
    directions, within = krylov(lambda v: (s @ v[..., None])[..., 0], block, 3)
    assert torch.allclose(directions @ directions.mT, torch.eye(6).double().expand(2, 6, 6))
    assert torch.allclose(within, directions @ s @ directions.mT)
    for power in (block, block @ s, block @ s @ s):
        inside = (power @ directions.mT) @ directions
        assert torch.allclose(inside, power, rtol=1e-8, atol=1e-8 * float(power.abs().max()))


def test_a_draw_does_not_depend_on_the_batch():
    _, _, y = scene(0)
    (x, c), (alone, own) = drawn(y, draws=4, steps=6), drawn(y, draws=1, steps=6)
    assert torch.allclose(x[0], alone[0], atol=1e-8)
    assert torch.allclose(c[0], own[0], atol=1e-8)


@pytest.mark.parametrize("space", [(12, 10), (7,), (6, 5, 4)])
def test_cosines_are_orthonormal_and_no_shorter_than_asked(space):
    gain = SmoothGain.cosines(space, 6.0, 0.3, 0.2)
    flat = gain.basis.flatten(1)
    assert torch.allclose(flat @ flat.T / flat.shape[1], torch.eye(len(flat)).double(), atol=1e-12)
    assert float(gain.deviation[1:].square().sum()) == pytest.approx(0.09)
    assert bool((gain.deviation[1:].diff() <= 1e-12).all())  # the longest wave first
    assert len(flat) < len(SmoothGain.cosines(space, 4.0, 0.3, 0.2).basis)
    assert torch.equal(gain(torch.zeros(1, len(flat)))[0, 0], torch.ones(space))


def test_bad_numbers_are_refused():
    y = torch.zeros(1, 1, SIDE, SIDE)
    cases = {
        "above zero": lambda: SmoothGain.cosines((8, 8), 8, 0.0, 1.0),
        "take 16 or less": lambda: SmoothGain.cosines((8, 8), 17, 0.1, 1.0),
        "noise above zero": lambda: BlindGain(GAIN, y, 0.0, DDPM()),
        "1 round": lambda: BlindGain(GAIN, y, 1.0, DDPM(), rounds=0),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()
