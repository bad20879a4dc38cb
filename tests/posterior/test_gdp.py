"""GDP: exposures that the call does not know are found, and with known ones it is DDPM with its own
estimate of x_0.
"""

import pytest
import torch
from support.methods import OPERATORS, D, Y
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.core.tiles import Tiled
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.guidance.preferences import LossGuided, colour_constancy
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.exposure import Exposure, smooth_offset
from unfog.physics.operators import BlockAverage, Grey, Points
from unfog.posterior.gdp import GDP, BlindGDP, Shot, at_estimate, at_state
from unfog.posterior.mmps import MMPS
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample

PIXELS = 8192


def exposure(factor, offset, n=1):
    return Exposure(torch.full((n,), factor).double(), torch.full((n,), offset).double())


def scene(process, shape=(1, PIXELS), level=0.5, spread=0.2):
    """A prior of independent pixels about a pattern, and two images of it."""
    numbers = torch.Size(shape).numel()
    mean = level * torch.sin(torch.arange(numbers) / 40.0).double()
    prior = MixtureDenoiser(
        process, torch.ones(1).double(), mean[None], torch.full((1, numbers), spread).double()
    )
    return prior, prior.draw(2, torch.Generator().manual_seed(0)).view(2, *shape)


def noisy(y, noise=0.01, seed=0):
    return (
        y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(7 + seed)).double()
    )


def grid(process, steps=60):
    return grids.build({"name": "karras", "sigma_min": 0.02, "sigma_max": 10.0})(process, steps)


def drawn(prior, x, sampler, steps=60):
    g = torch.Generator().manual_seed(1)
    return sample(
        prior,
        torch.randn(x.shape, generator=g).double(),
        grid(prior.process, steps),
        sampler,
        randomness=g,
    )


def off(found, x):
    return float((found - x).square().mean().sqrt())


@pytest.mark.parametrize("process", [EDM(80.0), VPLinear()], ids=["edm", "vp"])
@pytest.mark.parametrize("start", [(1.0, 0.0), (3.0, 0.5), (0.05, 0.0)])
@pytest.mark.parametrize("truth", [(0.2, -0.3), (0.5, 0.1)])
def test_factor_and_offset_are_found_from_a_wrong_start(process, start, truth):
    """Within 5 %, and the image within what the noise leaves of it."""
    prior, x = scene(process)
    y = noisy(exposure(*truth)(x))
    found = drawn(prior, x, BlindGDP([Shot(y, exposure(*start, n=2))]))
    line = Exposure.fitted(found, y)
    assert float((line.factor / truth[0] - 1).abs().max()) < 0.05
    assert float((line.offset / truth[1] - 1).abs().max()) < 0.05
    assert off(found, x) < 0.15 * off(y, x)


def test_an_offset_that_varies_over_the_image_is_found():
    """A smooth light mask: f within 5 %, m within a quarter of its spread, and the image better
    than with one m for all of it.
    """
    prior, x = scene(EDM(80.0), (1, 64, 64), level=1.0, spread=0.1)
    down, across = torch.meshgrid(*[torch.linspace(-1, 1, 64).double()] * 2, indexing="ij")
    mask, fit, start = (
        -0.2 + 0.3 * torch.exp(-(down**2) - across**2),
        smooth_offset(2.0),
        exposure(1.0, 0.0, n=2),
    )
    y = noisy(0.3 * x + mask)
    found, plain = (
        drawn(prior, x, BlindGDP([shot])) for shot in (Shot(y, start, fit), Shot(y, start))
    )
    fitted = fit(found, y).exposure
    assert float((fitted.factor / 0.3 - 1).abs().max()) < 0.05
    assert off(fitted.offset, mask) < 0.25 * float(mask.std())
    assert off(found, x) < 0.4 * off(plain, x)


def test_high_dynamic_range_beats_every_single_exposure():
    """Three exposures that saturate, up to half of a scene, their f and m unknown: found within 5
    %, the scene better than by any one.
    """
    prior, x = scene(EDM(80.0), (1, 2048), level=1.0, spread=0.03)
    truths = [(0.25, 0.5), (0.5, 0.4), (0.9, 0.3)]
    shots = [
        Shot.saturated(noisy(exposure(*truth)(x), 0.03, k).clamp(0, 1), 0.0, 1.0)
        for k, truth in enumerate(truths)
    ]
    together, *alone = (
        drawn(prior, x, BlindGDP(some), 40) for some in (shots, *([shot] for shot in shots))
    )
    assert off(together, x) < 0.7 * min(off(one, x) for one in alone)
    for shot, (factor, offset) in zip(shots, truths, strict=True):
        line = shot.fit(together, shot.measurement).exposure
        assert float((line.factor / factor - 1).abs().max()) < 0.05
        assert float((line.offset / offset - 1).abs().max()) < 0.05


@pytest.mark.parametrize("point", [at_estimate, at_state])
def test_with_a_known_exposure_it_is_ddpm_with_its_own_estimate(point):
    oracle, _, _ = gaussian(VPLinear(), D)

    class Guided(Denoiser):
        process = oracle.process

        def forward(self, x_t, t, **condition):
            x0 = oracle(x_t, t).mean
            p = x0 if point is at_estimate else x_t / self.process.alpha(t)
            return Posterior(x0 + 0.3 * (Y - 0.5 * p - 0.1) / 0.5)

    times = grids.build("uniform")(oracle.process, 5)
    found = affine_law(
        oracle,
        BlindGDP([Shot(Y, exposure(0.5, 0.1))], point, strength=0.3, rate=0.0),
        times,
        (1, D),
    )
    expected = affine_law(Guided(), DDPM(), times, (1, D))
    assert torch.allclose(found[0], expected[0], atol=1e-8)
    assert torch.allclose(found[1], expected[1], atol=1e-8)


def test_a_known_measurement_is_met_by_the_step_of_steepest_descent():
    """Where A A* is a number a full step meets it; elsewhere no step along the gradient comes
    nearer.
    """
    prior, t = gaussian(VPLinear(), D)[0], torch.tensor(0.3, dtype=torch.float64)
    x_t = torch.randn(3, 1, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for operator in OPERATORS.values():
        y = operator(Y)

        def misfit(strength, operator=operator, y=y):
            return (
                (operator(GDP(prior, operator, y, strength=strength)(x_t, t).mean) - y)
                .flatten(1)
                .norm(dim=1)
            )

        assert bool((misfit(1.0) < misfit(0.99)).all())
        assert bool((misfit(1.0) < (operator(prior(x_t, t).mean) - y).flatten(1).norm(dim=1)).all())
    assert (
        float(
            GDP(prior, OPERATORS["blocks"], OPERATORS["blocks"](Y), strength=1.0)
            .residual(Y)
            .abs()
            .max()
        )
        < 1e-12
    )


def test_joint_tasks_are_composed_operators():
    """Blurred and grey: an exact method has the posterior mean of both, and GDP comes near the
    measurement.
    """
    operator, n = Grey() @ Blur(gaussian_kernel(0.5)[1:-1, 1:-1]), 48
    prior, mean, covariance = gaussian(EDM(80.0), n)
    x = prior.draw(1, torch.Generator().manual_seed(0)).view(1, 3, 4, 4)
    y, times = operator(x), grids.build({"name": "karras", "sigma_min": 0.02})(prior.process, 10)
    a = operator(torch.eye(n).double().view(n, 3, 4, 4)).flatten(1).T
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + 0.01 * torch.eye(16))
    spread = (covariance - gain @ a @ covariance).diagonal().sqrt()
    exact = MMPS(prior, operator, y, 0.1, iterations=n, tolerance=0)
    noise = torch.zeros(1, 3, 4, 4).double()
    found = sample(
        exact, noise, times, DDPM(lambda *_: torch.zeros(())), randomness=torch.Generator()
    )  # the mean's own path
    assert (
        float(((found.flatten() - mean - gain @ (y.flatten() - a @ mean)) / spread).abs().max())
        < 0.05
    )
    noise = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    given, without = (
        sample(p, noise, times, DDPM(), randomness=torch.Generator())
        for p in (GDP(prior, operator, y), prior)
    )
    assert off(operator(given), y) < 0.2 * off(operator(without), y)


@pytest.mark.parametrize(
    "operator",
    [Points(torch.arange(PIXELS) % 3 > 0), BlockAverage(2)],
    ids=["inpainting", "super-resolution"],
)
def test_a_blind_exposure_of_holes_or_coarse_pixels(operator):
    """f and m within 5 % from a wrong start, what was measured as near as in low light alone, and
    the rest as the prior has it.
    """
    prior, x = scene(EDM(80.0))
    y = noisy(exposure(0.2, -0.3)(operator(x)))
    found = drawn(prior, x, BlindGDP([Shot(y, exposure(1.0, 0.0, n=2))], operator=operator))
    line = Exposure.fitted(operator(found), y)
    assert float((line.factor / 0.2 - 1).abs().max()) < 0.05
    assert float((line.offset / -0.3 - 1).abs().max()) < 0.05
    assert off(operator(found), operator(x)) < 0.15 * off(y, operator(x))
    unseen = found - operator.pseudo_inverse(operator(found)) - prior.means.view(1, 1, -1)
    unseen = unseen + operator.pseudo_inverse(operator(prior.means.view(1, 1, -1).expand_as(x)))
    share = (
        1 - operator.pseudo_inverse(operator(torch.ones_like(x))).mean()
        if isinstance(operator, Points)
        else 0.5
    )
    assert float(unseen.square().mean()) == pytest.approx(
        0.2 * float(share), rel=0.15
    )  # 60 ancestral steps lose a tenth of a variance


def test_low_light_in_tiles_without_a_colour_cast():
    """All parts at once: a blind exposure of an image larger than the prior, and a loss of the
    paper; f within 5 %.
    """
    process, shape = EDM(80.0), (3, 32, 48)
    pattern = 0.5 * torch.sin(torch.arange(16) / 3.0).double()[:, None].expand(3, 16, 16)
    tile = MixtureDenoiser(
        process, torch.ones(1).double(), pattern.reshape(1, -1), torch.full((1, 768), 0.2).double()
    )
    whole = pattern.repeat(1, 2, 3)
    x = (
        whole
        + 0.2**0.5 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).double()
    )
    y = noisy(exposure(0.2, -0.3)(x))
    prior = Tiled(tile, 16, overlap=0)
    found = {
        s: drawn(
            LossGuided(prior, colour_constancy, s),
            x,
            BlindGDP([Shot(y, exposure(1.0, 0.0, n=2))]),
            30,
        )
        for s in (0.0, 0.2)
    }
    assert float((Exposure.fitted(found[0.0], y).factor / 0.2 - 1).abs().max()) < 0.05
    assert off(found[0.0], x) < 0.15 * off(y, x)
    assert bool((colour_constancy(found[0.2]) < colour_constancy(found[0.0])).all())


def test_a_sample_does_not_depend_on_the_batch():
    oracle, _, _ = gaussian(VPLinear(), D)

    def run(n):
        y, randomness = (
            normal((n, 1, D), generators(1, range(n)), like=oracle.means),
            generators(0, range(n)),
        )
        noise, times = (
            normal((n, 1, D), randomness, like=oracle.means),
            grids.build("uniform")(oracle.process, 5),
        )
        shots = [Shot(y, exposure(1.0, 0.0, n)), Shot.saturated((2 * y).clamp(-1, 1), -1.0, 1.0)]
        return sample(oracle, noise, times, BlindGDP(shots), randomness=randomness)

    assert torch.allclose(run(16)[0], run(1)[0], atol=1e-10)


def test_bad_shares_are_refused():
    shot = Shot(torch.zeros(1, 1, 6), exposure(1.0, 0.0))
    cases = {
        "share above 0": lambda: BlindGDP([shot], strength=1.5),
        "rate": lambda: BlindGDP([shot], rate=2.0),
        "at least one exposure": lambda: BlindGDP([]),
        "smooth offset": lambda: smooth_offset(0.0),
        "constant image": lambda: smooth_offset(1.0)(torch.ones_like(Y), Y),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()
