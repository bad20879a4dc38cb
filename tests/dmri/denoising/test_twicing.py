"""Twicing: bias that alike voxels share comes back, noise hardly, and unlike voxels stay apart."""

from __future__ import annotations

import pytest
import torch

from unfog.core.random import generator
from unfog.dmri.denoising.twicing import RADIUS, twiced

SPACE = (10, 9, 8)
ALL = torch.ones(SPACE, dtype=torch.bool)
ONE = torch.ones(SPACE)


def test_a_shared_bias_comes_back_with_a_tenth_of_the_noise():
    """A constant shrunk by a third: in the middle the answer is the data's mean over 343 voxels."""
    data = 5 + torch.randn(2, *SPACE, generator=generator(0))
    x = torch.full_like(data, 5 * 2 / 3)
    found = twiced(x, data - x, ONE, ALL)
    window = tuple(slice(4 - RADIUS, 5 + RADIUS) for _ in SPACE)
    torch.testing.assert_close(
        found[:, 4, 4, 4], data[:, *window].mean((1, 2, 3)), rtol=1e-4, atol=1e-4
    )
    assert float((found - 5).abs().max()) < 0.5


def test_unlike_voxels_stay_apart():
    """Two tissues 100 deviations of the noise from each other, one of them biased: the other's
    answer doesn't change by it.
    """
    x = torch.zeros(1, *SPACE)
    x[:, :5] = 100
    residual = torch.where(x > 50, 3.0, 0.0)
    found = twiced(x, residual, ONE, ALL)
    torch.testing.assert_close(found, x + residual)


def test_without_noise_the_data_come_back():
    x, residual = (torch.randn(3, *SPACE, generator=generator(seed)) for seed in (0, 1))
    torch.testing.assert_close(twiced(x, residual, 0 * ONE, ALL), x + residual)


@pytest.mark.parametrize("axes", [(1,), (1, 2), (3,)])
def test_it_turns_with_the_scan_and_scales_with_it(axes):
    x, residual = (torch.randn(3, *SPACE, generator=generator(seed)) for seed in (0, 1))
    noise, inside = (
        0.1 + torch.rand(SPACE, generator=generator(2)),
        torch.rand(SPACE, generator=generator(3)) > 0.2,
    )
    found = twiced(x, residual, noise, inside)
    space = tuple(axis - 1 for axis in axes)
    turned = twiced(x.flip(axes), residual.flip(axes), noise.flip(space), inside.flip(space))
    torch.testing.assert_close(turned, found.flip(axes), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        twiced(7 * x, 7 * residual, 7 * noise, inside), 7 * found, rtol=1e-4, atol=1e-4
    )


def test_what_lies_outside_says_nothing():
    x, residual = torch.zeros(1, *SPACE), torch.ones(1, *SPACE)
    residual[:, 5:] = 100
    inside = ALL.clone()
    inside[5:] = False
    torch.testing.assert_close(
        twiced(x, residual, ONE, inside)[:, :5], torch.ones(1, 5, *SPACE[1:])
    )
