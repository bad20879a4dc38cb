"""Augmentation is a function of each sample and its generator alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfog.core.random import generator, generators
from unfog.data.augment import Anatomy, augmentations
from unfog.errors import InputError


def picture(count: int) -> torch.Tensor:
    return 200 * torch.rand(count, 2, 24, 16, generator=generator(3))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["none", "flip", "anatomy"]), st.integers(0, 7), st.integers(0, 2**31))
def test_a_sample_is_the_same_in_any_batch(name: str, place: int, seed: int) -> None:
    x, augment = picture(8), augmentations.build(name)
    whole = augment(x, generators(seed, range(8)))
    alone = augment(x[place : place + 1], generators(seed, [place]))
    assert torch.equal(alone[0], whole[place])
    assert whole.shape == x.shape
    assert bool((whole.amin((1, 2, 3)) >= x.amin((1, 2, 3)) - 1e-4).all())
    assert bool((whole.amax((1, 2, 3)) <= x.amax((1, 2, 3)) + 1e-4).all())


def test_flip_mirrors_about_half() -> None:
    x = picture(64)
    out = augmentations.build("flip")(x, generators(0, range(64)))
    mirrored = (out == x.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (out == x).flatten(1).all(1)).all())
    assert 20 < int(mirrored.sum()) < 44


def test_a_torus_is_moved_and_turned_whole() -> None:
    """Every shift and turn occurs, a field keeps its values, and the distance of two neighbours
    stays one, round the border too.
    """
    x = torch.arange(16.0).view(1, 1, 4, 4).repeat(600, 1, 1, 1)
    out = augmentations.build("torus")(x, generators(0, range(600)))
    assert torch.equal(out.flatten(1).sort(1).values, x.flatten(1))
    assert len({tuple(field.flatten().tolist()) for field in out}) == 4 * 16
    # neighbours round the border
    places = [(field == value).nonzero()[0, 1:] for field in out[:20] for value in (0.0, 3.0)]
    apart = [
        (first - second).abs() for first, second in zip(places[::2], places[1::2], strict=True)
    ]
    assert all(int(torch.minimum(gap, 4 - gap).sum()) == 1 for gap in apart)
    with pytest.raises(InputError, match="square fields"):
        augmentations.build("torus")(picture(1), generators(0, [0]))


def test_a_companion_moves_along() -> None:
    x, augment = picture(4), Anatomy(gamma=0.5)
    both = augment.warp(torch.cat([x, x], 1), generators(0, range(4)))
    torch.testing.assert_close(both[:, 2:], augment.warp(x, generators(0, range(4))))


def test_anatomy_at_rest_is_the_identity() -> None:
    x = picture(3)
    torch.testing.assert_close(
        Anatomy(0, 0, 0, 0, 0)(x, generators(0, range(3))), x, rtol=1e-5, atol=1e-3
    )


def test_anatomy_shifts_by_pixels() -> None:
    x = torch.zeros(1, 1, 21, 31)
    x[0, 0, 10, 15] = 1
    moved = Anatomy(rotation=0, scale=0, shift=3, elastic=0, gamma=0).warp(x, generators(5, [0]))
    row, column = divmod(int(moved.argmax()), 31)
    assert 0 < max(abs(row - 10), abs(column - 15)) <= 3


def test_constant_pictures_and_volumes() -> None:
    assert bool((Anatomy()(torch.full((2, 1, 8, 8), 7.0), generators(0, [0, 1])) == 7).all())
    with pytest.raises(InputError, match="slices"):
        Anatomy()(torch.zeros(1, 1, 4, 4, 4), generators(0, [0]))
