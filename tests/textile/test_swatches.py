"""Swatches: a scale and a turn that are in the picture as they are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unfog.textile.swatches import SIDE, Swatches, _cut


def gradient_angle(square: torch.Tensor) -> float:
    """The direction of the strongest slope by the structure tensor, degrees counter-clockwise."""
    down, across = np.gradient(square.double().numpy())
    angle = 0.5 * math.atan2(-2 * (down * across).sum(), (across**2 - down**2).sum())
    return math.degrees(angle)


def wave(period: float) -> torch.Tensor:
    """Stripes whose grey changes along a row."""
    at = torch.arange(400, dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(2 * math.pi * at / period)).expand(400, -1)[None, None].float()


@pytest.mark.parametrize("turn", [-40.0, 0.0, 25.0])
def test_a_turn_is_counter_clockwise(turn: float) -> None:
    square = _cut(wave(16.0), torch.tensor([1.0, turn]).double(), torch.tensor([0.5, 0.5]))
    assert gradient_angle(square) == pytest.approx(turn, abs=1)


def test_at_half_the_scale_there_are_twice_the_stripes() -> None:
    for scale in (1.0, 0.5):
        square = _cut(wave(16.0), torch.tensor([scale, 0.0]).double(), torch.tensor([0.4, 0.6]))
        power = np.abs(np.fft.rfft((square - square.mean()).numpy(), axis=1)).mean(0)
        assert int(power.argmax()) == round(SIDE / (16 * scale))


def test_what_is_told_is_standardised_and_the_splits_differ() -> None:
    pytest.importorskip("skimage")
    data = Swatches("train", count=300)
    batch = data.batch(range(300))
    assert batch["x"].shape == (300, 3, SIDE, SIDE)
    assert float(batch["property"].mean(0).abs().max()) < 0.2
    assert float((batch["property"].std(0) - 1).abs().max()) < 0.15
    assert data.scales["rotation"][2:] == (-45.0, 45.0)
    grey = Swatches("test", count=3, coloured=False).batch([0])["x"]
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert Swatches("test", count=3).fingerprint != Swatches("train", count=3).fingerprint
