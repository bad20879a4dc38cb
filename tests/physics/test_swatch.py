"""Statistics of a texture: waves of known amplitude, and their independence of place."""

from __future__ import annotations

import math

import pytest
import torch

from unfog.errors import InputError
from unfog.physics.swatch import TURNS, WAVELENGTHS, SwatchStatistics, gabor_bank


def wave(period: float, angle: float = 0.0, shift: float = 0.0, side: int = 64) -> torch.Tensor:
    at = torch.arange(side, dtype=torch.float32)
    phase = math.cos(angle) * at[None] + math.sin(angle) * at[:, None]
    return torch.sin(2 * math.pi * phase / period + shift)[None, None]


def test_filters_see_no_mean() -> None:
    bank = gabor_bank()
    assert bank.shape[0] == 2 * TURNS * len(WAVELENGTHS)
    assert float(bank.sum((2, 3)).abs().max()) < 1e-5
    flat = SwatchStatistics()(torch.full((1, 1, 40, 40), 0.3))
    assert math.isclose(float(flat[0, 0]), 0.3, abs_tol=1e-6)
    assert float(flat[0, 1:].max()) < 0.03  # the floor


@pytest.mark.parametrize("k", range(len(WAVELENGTHS)))
def test_a_wave_is_loudest_in_its_own_filter_whatever_its_phase(k: int) -> None:
    for turn in range(TURNS):
        x = torch.cat([wave(WAVELENGTHS[k], math.pi * turn / TURNS, shift) for shift in (0.0, 1.0)])
        found = SwatchStatistics()(x)[:, 1:]
        assert found.argmax(1).tolist() == [k * TURNS + turn] * 2
        assert torch.allclose(found[0].max(), found[1].max(), rtol=0.03)


def test_an_amplitude_grows_with_contrast_and_a_region_sees_itself_alone() -> None:
    x = torch.cat([wave(4.0)[..., :32], 0 * wave(4.0)[..., 32:]], 3)
    left = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    left[..., :32] = True
    one, three = SwatchStatistics(left)(x), SwatchStatistics(left)(3 * x)
    loudest = int(one[0, 1:].argmax()) + 1
    assert math.isclose(float(three[0, loudest] / one[0, loudest]), 3, rel_tol=0.01)
    right = SwatchStatistics(~left)(x)
    assert float(right[0, 1:].max()) < 0.03
    noisy = torch.where(left, x, torch.randn(1, 1, 64, 64))
    assert torch.allclose(SwatchStatistics(left)(noisy), one, atol=1e-5)
    with pytest.raises(InputError, match="empty"):
        SwatchStatistics(left & ~left)
