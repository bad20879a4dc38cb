"""Palette guidance: its slope in closed form, and where it leads."""

from __future__ import annotations

import pytest
import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.errors import InputError
from unfog.guidance.palette import palette_loss
from unfog.guidance.preferences import LossGuided

COLOURS = torch.tensor([[-0.8, -0.5, 0.2], [0.7, 0.9, -0.1], [0.0, 0.0, 0.9]])


class Known(Denoiser):
    process = EDM(10.0)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **_: torch.Tensor) -> Posterior:
        return Posterior(x_t)


def test_its_slope_is_the_way_to_the_colours_by_their_shares() -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    tau, strength = 0.4, 0.6
    moved = LossGuided(Known(), palette_loss(COLOURS, tau), strength)(x, torch.tensor(0.1)).mean
    gaps = x.unsqueeze(1) - COLOURS.double().view(1, 3, 3, 1, 1)
    shares = torch.softmax(-gaps.square().sum(2) / (2 * tau**2), 1)
    mean = (shares.unsqueeze(2) * COLOURS.double().view(1, 3, 3, 1, 1)).sum(1)
    assert torch.allclose(moved, x + strength * (mean - x), atol=1e-6)


def test_a_sharp_palette_takes_pixels_to_their_nearest_colour() -> None:
    x = COLOURS.T[None, :, :, None] + 0.05
    guided = LossGuided(Known(), palette_loss(COLOURS, 0.05), 1.0)
    assert torch.allclose(guided(x, torch.tensor(0.1)).mean, x - 0.05, atol=1e-5)


def test_other_channels_are_refused() -> None:
    with pytest.raises(InputError, match="3 channels"):
        palette_loss(COLOURS)(torch.zeros(1, 1, 2, 2))
    with pytest.raises(InputError, match="one colour or more"):
        palette_loss(COLOURS[:0])


def test_above_a_noise_level_nothing_is_moved() -> None:
    """There an estimate is a blur, and its nearest colour would be that of the whole picture."""
    x, loss = torch.full((1, 3, 2, 2), 0.2), palette_loss(COLOURS, 0.05)
    guided = LossGuided(Known(), loss, 1.0, below=0.5)
    process = guided.process
    for level, moves in ((0.4, True), (0.6, False)):
        t = process.t_of_noise_level(torch.tensor(level, dtype=torch.float64))
        assert torch.equal(guided(x, t).mean, x) is not moves
