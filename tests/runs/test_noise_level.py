"""The noise's level by the prior: on Gaussian priors, whose likelihood is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unfog.core.codec import Range
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.physics.smoothing import smoothed
from unfog.runs.noise_level import noise_by_prior
from unfog.runs.run import Run

SIDE, IMAGES = 12, 150


def correlated() -> torch.Tensor:
    """A stationary covariance on a square, correlated over three pixels."""
    steps = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    place = torch.stack(steps, -1).reshape(-1, 2).double()
    return 0.04 * torch.exp(-torch.cdist(place, place) / 3)


PRIOR = gaussian_denoiser(EDM(), torch.full((SIDE**2,), 0.3).double(), correlated())
RUN = Run(Path(), {}, PRIOR, Range(-1, 1), (1, SIDE, SIDE), {})  # type: ignore[arg-type]


def images() -> tuple[torch.Tensor, torch.Generator]:
    g = torch.Generator().manual_seed(0)
    return PRIOR.draw(IMAGES, g).view(-1, 1, SIDE, SIDE), g


@pytest.mark.parametrize(("sigma", "start"), [(0.05, 0.5), (0.1, 0.5), (0.1, 2.0), (0.2, 2.0)])
def test_white_noise_is_found_to_three_percent(sigma: float, start: float) -> None:
    x, g = images()
    y = x + sigma * torch.randn(x.shape, generator=g, dtype=x.dtype)
    found = noise_by_prior(RUN, y, start * sigma)
    assert found is not None
    assert found.sigma == pytest.approx(sigma, rel=0.03)
    assert not found.correlated


@pytest.mark.parametrize("coils", [1, 4])
def test_magnitudes_of_any_number_of_coils(coils: int) -> None:
    """Their squares are sums over the coils' real and imaginary parts."""
    x, g = images()
    sigma, signal = 0.05, x + 1  # above the smallest value of the prior's data
    parts = sigma * torch.randn(2 * coils, *x.shape, generator=g, dtype=x.dtype)
    parts[0] += signal
    y = parts.square().sum(0).sqrt() - 1
    found = noise_by_prior(RUN, y, 0.08, magnitude=True)
    assert found is not None
    assert found.sigma == pytest.approx(sigma, rel=0.03)


def test_noise_that_neighbours_share_is_said() -> None:
    x, g = images()
    y = x + 0.3 * smoothed(torch.randn(x.shape, generator=g, dtype=x.dtype), 0.8)
    found = noise_by_prior(RUN, y, 0.1)
    assert found is not None
    assert found.correlated


def test_an_image_without_signal_has_none() -> None:
    assert noise_by_prior(RUN, torch.full((1, 1, SIDE, SIDE), -0.9), 0.1) is None
