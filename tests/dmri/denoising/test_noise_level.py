"""Noise found blind: its level in space, its correlation, and sigma of Rician and non-central chi
magnitudes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.rings import Ring, with_noise

from unfog.core.random import generator
from unfog.dmri.denoising.noise_level import estimate_noise, gaussian_level, smooth
from unfog.dmri.rician import magnitude_mean
from unfog.dmri.simulation.noise import correlated_normal
from unfog.errors import InputError

ALL = torch.ones(40, 40, 10, dtype=torch.bool)


@pytest.mark.parametrize(
    "correlation", [(0, 0, 0), (0.26, 0.1, 0)], ids=["white", "as in small_64D"]
)
@pytest.mark.parametrize("varies", [False, True], ids=["constant", "varying"])
def test_gaussian_noise(ring: Ring, correlation: tuple[float, ...], varies: bool) -> None:
    level = 0.05 * (
        torch.linspace(0.6, 1.4, 40)[:, None, None] if varies else torch.ones(40, 1, 1)
    ).expand(40, 40, 10)
    signal = torch.from_numpy(ring.signal).float()
    noise = correlated_normal(signal.movedim(3, 0), generator(0), correlation).movedim(0, 3)
    found = estimate_noise(signal + level[..., None] * noise, ALL)
    assert float((found.level / level).mean()) == pytest.approx(1, abs=0.01)
    assert float((found.level / level - 1).abs().max()) < 0.1
    np.testing.assert_allclose(found.correlation[:, 0], correlation, atol=0.02)
    assert found.components.axes.shape[1] < 12


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("sigma", [0.04, 0.12])
def test_magnitudes(ring: Ring, coils: int, sigma: float) -> None:
    """Also where the noise is so strong that the magnitudes' own deviation is far below sigma."""
    signal = ring.signal[:, :, :5]
    level = estimate_noise(
        torch.from_numpy(with_noise(signal, sigma, coils=coils)), ALL[:, :, :5]
    ).level.numpy()
    found = gaussian_level(level, magnitude_mean(signal, sigma, coils), ALL[:, :, :5], coils)
    assert np.median(found) == pytest.approx(sigma, rel=0.02)
    assert sigma < 0.1 or np.median(level) < 0.99 * sigma


def test_only_the_mask_counts(ring: Ring) -> None:
    y = with_noise(ring.signal, 0.05)
    y[:20] *= 30
    inside = ALL.clone()
    inside[:20] = False
    assert float(estimate_noise(torch.from_numpy(y), inside).level[22:].mean()) == pytest.approx(
        0.05, rel=0.03
    )


def test_smoothing_keeps_a_constant_and_reaches_everywhere() -> None:
    inside = torch.zeros(40, 5, 5, dtype=torch.bool)
    inside[:3] = True
    torch.testing.assert_close(
        smooth(torch.full((40, 5, 5), 3.0), inside), torch.full((40, 5, 5), 3.0)
    )


def test_no_noise_and_no_mask() -> None:
    assert (
        float(
            estimate_noise(
                torch.full((6, 6, 6, 8), 5.0), torch.ones(6, 6, 6, dtype=torch.bool)
            ).level.max()
        )
        == 0
    )
    with pytest.raises(InputError, match="mask is empty"):
        estimate_noise(torch.zeros(6, 6, 6, 8), torch.zeros(6, 6, 6, dtype=torch.bool))


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("snr", [0.0, 0.3, 1.0, 4.0])
def test_magnitudes_of_hardly_any_signal(snr: float, coils: int) -> None:
    """From their exact mean and deviation, where a fixed point alone would creep: also where there
    is no signal at all.
    """
    mean = np.full((6, 6, 6, 4), magnitude_mean(snr, 1.0, coils))
    level = np.sqrt(2 * coils + snr**2 - mean[..., 0] ** 2)
    found = gaussian_level(level, mean, torch.ones(6, 6, 6, dtype=torch.bool), coils)
    np.testing.assert_allclose(found, 1.0, atol=0.01)


@pytest.mark.parametrize("volumes", [4, 7, 9])
@pytest.mark.parametrize("sigma", [25.0, 50.0])
def test_few_volumes_have_their_noise_found_in_patches(volumes: int, sigma: float) -> None:
    # Smooth signals, different in every volume, leave no component of noise alone.
    generator = torch.Generator().manual_seed(volumes)
    x, y, z = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in (24, 24, 12)], indexing="ij")
    turn = torch.rand(volumes, 3, generator=generator) * 4
    phase = torch.stack([x, y, z], -1) @ turn.T
    clean = 800 + 300 * torch.sin(phase)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    inside = torch.ones(x.shape, dtype=torch.bool)
    noise = estimate_noise(noisy, inside)
    assert abs(float(noise.level.median()) / sigma - 1) < 0.08
    assert float(noise.correlation.abs().max()) < 0.1  # white, and not "interpolated"


def test_few_volumes_of_a_thin_scan() -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = 500 + 20 * torch.randn(12, 12, 2, 5, generator=generator)
    noise = estimate_noise(noisy, torch.ones(12, 12, 2, dtype=torch.bool))
    assert abs(float(noise.level.median()) / 20 - 1) < 0.1
