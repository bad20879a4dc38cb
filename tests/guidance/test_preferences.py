"""Losses of a picture by hand, and what a denoiser that prefers them gives."""

import pytest
import torch

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import VPLinear
from unfog.errors import InputError
from unfog.guidance.preferences import (
    LossGuided,
    colour_constancy,
    exposure_control,
    total_variation,
)

G = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, 4, 6, generator=G, dtype=torch.float64)


def test_losses_are_their_equations():
    means = X.mean((2, 3))
    pairs = (
        (means[:, 0] - means[:, 1]) ** 2
        + (means[:, 0] - means[:, 2]) ** 2
        + (means[:, 1] - means[:, 2]) ** 2
    )
    assert torch.allclose(colour_constancy(X), pairs)
    down, across = (X[:, :, 1:] - X[:, :, :-1]).abs(), (X[..., 1:] - X[..., :-1]).abs()
    assert torch.allclose(total_variation(X), down.mean((1, 2, 3)) + across.mean((1, 2, 3)))
    # the second is narrower
    patches = [X[:, :, i : i + 4, j : j + 4].mean((1, 2, 3)) for i in (0,) for j in (0, 4)]
    assert torch.allclose(
        exposure_control(0.1, 4)(X), torch.stack([(p - 0.1).abs() for p in patches]).mean(0)
    )


def test_a_dark_estimate_is_lifted_by_the_strength():
    """Each pixel of patches that are too dark rises by the strength, shared among the channels;
    none of the network is differentiated.
    """
    prior = gaussian_denoiser(
        VPLinear(), torch.full((48,), -0.8).double(), 0.01 * torch.eye(48).double()
    )
    x_t, t = (
        torch.randn(2, 3, 4, 4, generator=G, dtype=torch.float64),
        torch.tensor(0.5, dtype=torch.float64),
    )
    with torch.no_grad():
        before, after = (
            prior(x_t, t).mean,
            LossGuided(prior, exposure_control(0.2, 2), 0.1)(x_t, t).mean,
        )
        assert torch.allclose(after - before, torch.full_like(before, 0.1), atol=1e-12)
        smoother = LossGuided(LossGuided(prior, total_variation, 1e-4), colour_constancy, 0.02)(
            x_t, t
        ).mean
    assert bool((total_variation(smoother) < total_variation(before)).all())
    assert bool((colour_constancy(smoother) < colour_constancy(before)).all())


def test_bad_settings_are_refused():
    for message, build in {
        "1 pixel or more": lambda: exposure_control(patch=0),
        "has one": lambda: colour_constancy(X[:, :1]),
        "not below zero": lambda: LossGuided(
            gaussian_denoiser(VPLinear(), X[0, 0, 0], torch.eye(6).double()), total_variation, -1.0
        ),
    }.items():
        with pytest.raises(InputError, match=message):
            build()
