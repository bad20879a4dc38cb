"""Attributes of garments: drawn shapes whose attributes are known."""

from __future__ import annotations

import math

import torch

from unfog.fashion.attributes import ATTRIBUTES, attributes_of
from unfog.fashion.sketch import sketch_of


def shirt(sleeve: int, grey: float = 0.5) -> torch.Tensor:
    """A torso 12 columns wide and 20 rows high, with sleeves 3 columns wide and so many rows
    long on either side.
    """
    x = torch.zeros(1, 1, 28, 28)
    x[..., 4:24, 8:20] = grey
    x[..., 4 : 4 + sleeve, 5:8] = x[..., 4 : 4 + sleeve, 20:23] = grey
    return x


def of(x: torch.Tensor) -> dict[str, float]:
    return dict(zip(ATTRIBUTES, attributes_of(x)[0].tolist(), strict=True))


def test_a_drawn_shirt_has_the_attributes_it_was_drawn_with() -> None:
    found = of(shirt(6, 0.75))
    assert math.isclose(found["sleeve"], 6 / 20, abs_tol=1e-6)
    assert math.isclose(found["width"], (12 * 20 + 6 * 6) / 20 / 28, abs_tol=1e-6)
    assert math.isclose(found["brightness"], 0.75, abs_tol=1e-6)
    assert found["symmetry"] == 1
    assert found["pattern"] == 0  # plain
    assert math.isclose(of(shirt(15))["sleeve"], 15 / 20, abs_tol=1e-6)


def test_a_half_that_is_missing_costs_half_the_symmetry_and_the_place_costs_nothing() -> None:
    x = shirt(6)
    x[..., 4:10, 5:8] = 0  # one sleeve off: the box is narrower, and its middle elsewhere
    lopsided = of(x)
    assert lopsided["symmetry"] < 0.9
    moved = attributes_of(shirt(6).roll((2, 3), (2, 3)))
    assert torch.allclose(moved, attributes_of(shirt(6)), atol=1e-6)


def test_stripes_have_their_frequency() -> None:
    """Sines along the rows: E |x(i) - x(j)|^2 over both axes is half of 2 Var (1 - cos 2 pi f)."""
    for period in (8, 4):
        x = shirt(0)
        wave = 0.2 * torch.sin(2 * math.pi * torch.arange(12) / period + 0.7)
        x[..., 4:24, 8:20] += wave
        expected = math.sqrt((1 - math.cos(2 * math.pi / period)) / 2) / math.pi
        assert math.isclose(of(x)["pattern"], expected, rel_tol=0.12)


def test_specks_and_grain_do_not_count() -> None:
    """A bright pixel far from the garment would move its box, and with it every other number."""
    speckled = shirt(6)
    speckled[..., 1, 1] = speckled[..., 26, 25] = 1
    assert of(speckled) == of(shirt(6))
    grain = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    measured = attributes_of((shirt(6) + 0.05 * grain).clamp(0, 1))[:, :2]
    assert float((measured - attributes_of(shirt(6))[:, :2]).abs().median(0).values.max()) < 0.02


def test_an_empty_picture_has_no_attributes() -> None:
    assert attributes_of(torch.zeros(2, 1, 28, 28)).abs().max() == 0


def test_a_sketch_lies_on_the_outline() -> None:
    lines = torch.from_numpy(sketch_of(shirt(6)))[0, 0].bool()
    inside = shirt(6)[0, 0] > 0
    near = torch.nn.functional.max_pool2d(inside[None, None].float(), 3, 1, 1)[0, 0] > 0
    core = torch.nn.functional.avg_pool2d(inside[None, None].float(), 5, 1, 2)[0, 0] == 1
    assert int(lines.sum()) > 40
    assert bool((lines & ~near).sum() == 0)  # nothing far outside
    assert bool((lines & core).sum() == 0)  # nothing deep inside
