"""SDEdit and inversion against closed forms: with a Gaussian prior both are known exactly."""

from __future__ import annotations

import pytest
import torch
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM, RectifiedFlow, VPLinear
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.physics.operators import Mask
from unfog.posterior.projection import Projection
from unfog.sampling import grids
from unfog.sampling.covariance import CovarianceSampler
from unfog.sampling.inversion import invert_and_edit
from unfog.sampling.ode import Heun
from unfog.sampling.samplers import samplers
from unfog.sampling.sdedit import last_share, sdedit

D, MANY = 3, 8000
PROCESSES = [VPLinear(), EDM(10.0), RectifiedFlow()]


def edits(process, strength, x, count=MANY):
    """``count`` edits of one x by a sampler that is exact for a Gaussian, and the prior."""
    prior, mean, covariance = gaussian(process, D)
    grid = grids.build({"name": "karras", "sigma_max": 8.0})(process, 10)
    found = sdedit(
        prior,
        x.expand(count, D),
        grid,
        CovarianceSampler(D),
        strength,
        randomness=torch.Generator().manual_seed(1),
    )
    return found, mean, covariance, last_share(grid, strength)


def check_law(found, mean, covariance):
    """Mean and covariance of draws, to five standard errors."""
    deviation = covariance.diagonal().sqrt()
    assert float(((found.mean(0) - mean) / deviation).abs().max()) < 5 / len(found) ** 0.5
    error = (found.T.cov() - covariance) / (deviation[:, None] * deviation)
    assert float(error.abs().max()) < 5 * (2 / len(found)) ** 0.5


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8])
def test_an_edit_is_a_draw_given_the_picture_with_noise(process, strength):
    """x' ~ p(x_0 | alpha x + sigma z): its mean is m + G (x - m), its covariance the posterior's
    and that of z through the gain G.
    """
    x = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    found, mean, covariance, times = edits(process, strength, x)
    level = float(process.noise_level(times[0]))
    gain = covariance @ torch.linalg.inv(covariance + level**2 * torch.eye(D, dtype=torch.float64))
    expected = mean + gain @ (x[0] - mean)
    posterior = covariance - gain @ covariance
    check_law(found, expected, posterior + level**2 * gain @ gain.T)


def test_strength_one_draws_from_the_prior():
    """At sigma / alpha = 200 what is left of the picture is far below a standard error of the
    mean.
    """
    process = VPLinear()
    prior, mean, covariance = gaussian(process, D)
    grid = grids.build({"name": "log-snr", "sigma_max": 200.0})(process, 6)
    x = torch.tensor([[5.0, -5.0, 5.0]], dtype=torch.float64).expand(MANY, D)
    check_law(
        sdedit(
            prior, x, grid, CovarianceSampler(D), 1.0, randomness=torch.Generator().manual_seed(0)
        ),
        mean,
        covariance,
    )


@pytest.mark.parametrize("name", ["ddim", "ddpm", "heun", "dpmpp-2m"])
def test_strength_zero_gives_the_picture_back(name):
    prior, _, _ = gaussian(EDM(), D)
    x = torch.randn(4, D, dtype=torch.float64)
    found = sdedit(
        prior,
        x,
        grids.build("karras")(EDM(), 10),
        samplers.build(name),
        0.0,
        randomness=generators(0, range(4)),
    )
    assert torch.equal(found, x)


def test_an_edit_does_not_depend_on_its_batch_and_keeps_what_is_masked():
    prior, _, _ = gaussian(EDM(10.0), D)
    x, grid = torch.randn(4, D, dtype=torch.float64), grids.build("karras")(EDM(10.0), 10)
    keep = Mask(torch.tensor([[True, False, False]]))
    sampler = Projection(samplers.build("ddpm"), keep, keep(x))
    many = sdedit(prior, x, grid, sampler, 0.7, randomness=generators(0, range(4)))
    one = sdedit(
        prior,
        x[2:3],
        grid,
        Projection(samplers.build("ddpm"), keep, keep(x[2:3])),
        0.7,
        randomness=generators(0, [2]),
    )
    assert torch.allclose(many[2:3], one, atol=1e-12)
    assert torch.allclose(many[:, 0], x[:, 0], atol=1e-12)
    assert float((many[:, 1:] - x[:, 1:]).abs().min()) > 1e-4


class OneOfTwo(Denoiser):
    """Two Gaussians of one covariance, ``shift`` apart and told apart by ``label``."""

    def __init__(self, process):
        super().__init__()
        self.process = process
        self.first, self.mean, self.covariance = gaussian(process, D)
        self.shift = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def forward(self, x_t, t, **condition):
        moved = condition["label"][:, None] * self.shift
        return Posterior(self.first(x_t - self.process.alpha(t) * moved, t).mean + moved)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_an_inversion_takes_what_is_told_apart_from_one_to_the_other(process):
    """x comes back under its own label, and under the other as x + (I - R) (m_1 - m_0): to a part
    in a million.

    R takes x / alpha - m down the grid, in the eigenbasis of C by DDIM's factors 1 + (k_s - k_t)
    k_t / (c + k_t^2), k = sigma / alpha.
    """
    prior = OneOfTwo(process)
    x = prior.mean + torch.randn(
        5, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = grids.build({"name": "karras", "sigma_max": 5.0})(process, 20)
    values, basis = torch.linalg.eigh(prior.covariance)
    level = process.noise_level(grid)[:, None]
    factors = (1 + (level[1:] - level[:-1]) * level[:-1] / (values + level[:-1] ** 2)).prod(0)
    moved = prior.shift - basis @ (factors * (basis.T @ prior.shift))
    for other in (0, 1):
        source, target = ({"label": torch.full((5,), k)} for k in (0, other))
        found = invert_and_edit(prior, x, grid, source=source, target=target, iterations=30)
        assert torch.allclose(found, x + other * moved, atol=1e-6)


def test_one_iteration_is_of_the_first_order():
    """The error of the usual inversion halves with the step; three iterations take most of it
    away.
    """
    process = VPLinear()
    prior = OneOfTwo(process)
    x, label = prior.mean + 1.0, {"label": torch.zeros(1)}

    def error(steps, iterations):
        grid = grids.build({"name": "log-snr", "sigma_max": 5.0, "sigma_min": 0.02})(process, steps)
        return float(
            (
                invert_and_edit(
                    prior, x[None], grid, source=label, target=label, iterations=iterations
                )
                - x
            ).norm()
        )

    assert error(160, 1) == pytest.approx(error(80, 1) / 2, rel=0.15)
    assert error(80, 3) < 0.05 * error(80, 1)


def test_a_grid_is_shortened_by_its_steps():
    grid = grids.build("karras")(EDM(), 10)
    assert torch.equal(last_share(grid, 1.0), grid)
    assert torch.equal(last_share(grid, 0.3), grid[-4:])
    assert torch.equal(last_share(grid, 0.0), grid[-1:])
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share from 0 to 1"):
            last_share(grid, strength)


def test_heun_edits_along_the_probability_flow_of_the_gaussian():
    """With a deterministic sampler the edit is the flow's image of alpha x + sigma z, each number
    of deviations kept.
    """
    process = VPLinear()
    prior, mean, covariance = gaussian(process, D)
    grid = grids.build("karras")(process, 240)
    x, z = (
        torch.zeros(1, D, dtype=torch.float64),
        torch.randn(1, D, generator=torch.Generator().manual_seed(4), dtype=torch.float64),
    )
    found = sdedit(prior, x, grid, Heun(), 0.5, randomness=torch.Generator().manual_seed(4))
    alpha, sigma = prior.scales(last_share(grid, 0.5)[0])
    values, basis = torch.linalg.eigh(covariance)
    scaled = (
        ((alpha * x + sigma * z) - alpha * mean) @ basis / (alpha**2 * values + sigma**2).sqrt()
    )
    assert torch.allclose(found, mean + (scaled * values.sqrt()) @ basis.T, atol=1e-3)
