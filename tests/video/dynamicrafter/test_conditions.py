"""What DynamiCrafter is told, and how training makes it of the data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from unfog.core.conditioning import Conditioner
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.video.dynamicrafter.conditions import (
    ImageTokens,
    KnownFrames,
    PictureTokens,
    RateWaves,
    ends,
    repeated,
)

CLIPS = torch.randn(64, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
OPTIONS: dict[str, Any] = {
    "width": 16,
    "depth": 1,
    "heads": 2,
    "head_dim": 8,
    "queries": 2,
    "frames": 4,
}


def test_known_frames_are_the_first_in_every_frame_or_both_ends() -> None:
    randomness = generators(0, range(64))
    first = KnownFrames(2).derive(CLIPS, randomness)[0]
    assert torch.equal(first, repeated(CLIPS))
    assert torch.equal(first[:, :, 3], CLIPS[:, :, 0])
    both = KnownFrames(2, ends=1.0).derive(CLIPS, randomness)[0]
    assert torch.equal(both, ends(CLIPS))
    assert torch.equal(both[:, :, 3], CLIPS[:, :, 3])
    assert not both[:, :, 1:3].any()
    mixed = KnownFrames(2, ends=0.25).derive(CLIPS, generators(0, range(64)))[0]
    share = float((mixed[:, :, 1] == 0).all(-1).all(-1).all(-1).float().mean())
    assert 0.1 < share < 0.45
    # A sample's choice is its own, whatever its batch.
    alone = KnownFrames(2, ends=0.25).derive(CLIPS[5:6], generators(0, [5]))[0]
    assert torch.equal(alone, mixed[5:6])
    with pytest.raises(InputError, match="between 0 and 1"):
        KnownFrames(2, ends=1.2)


@torch.no_grad()
def test_only_the_tokens_of_a_picture_are_dropped() -> None:
    parts = {"frames": KnownFrames(2), "image": PictureTokens(2, 4, 16, OPTIONS)}
    conditioner, x = Conditioner(parts), CLIPS[:2]
    values = {"frames": repeated(x), "image": x[:, :, 0]}
    keep = torch.tensor([True, False])
    seen, hidden = conditioner(x, values), conditioner(x, values, {"image": keep})
    assert torch.equal(seen.spatial, hidden.spatial)
    assert torch.equal(seen.decoupled[0], hidden.decoupled[0])
    # What stands for no picture is a picture of zeros.
    grey = conditioner(x, {**values, "image": torch.zeros_like(x[:, :, 0])})
    assert torch.equal(hidden.decoupled[1], grey.decoupled[1])
    assert not torch.allclose(seen.decoupled[1], hidden.decoupled[1], atol=1e-2)
    assert seen.decoupled.shape == (2, 8, 16)


@torch.no_grad()
def test_patches_have_places() -> None:
    part, picture = PictureTokens(2, 4, 16, OPTIONS), CLIPS[:1, :, 0]
    tokens = part.embed(picture).decoupled
    assert tokens is not None
    assert not torch.allclose(part.embed(picture.roll(4, 3)).decoupled, tokens, atol=1e-3)
    # 8 x 8 is what zeros after an odd size make of 7 x 7.
    padded = nn.functional.pad(picture[..., :7, :7], (0, 1, 0, 1))
    assert torch.equal(part.embed(picture[..., :7, :7]).decoupled, part.embed(padded).decoupled)


@torch.no_grad()
def test_tokens_of_an_encoder_and_their_null() -> None:
    part = ImageTokens(5, 16, options=OPTIONS)
    tokens = torch.randn(2, 9, 5)
    keep = torch.tensor([True, False])
    context = part(tokens, keep, CLIPS[:2])
    for row, one in enumerate((part.embed(tokens[:1]), part.null(CLIPS[:1]))):
        assert one.decoupled is not None
        assert torch.allclose(context.decoupled[row], one.decoupled[0], atol=1e-5)


@torch.no_grad()
def test_the_frame_rate_starts_as_nothing_and_has_a_default() -> None:
    part, x = RateWaves(16, 8, default=24.0), CLIPS[:2]
    rates = torch.tensor([7.0, 24.0])
    assert not part.embed(rates).vector.any()  # type: ignore[union-attr]
    nn.init.normal_(part.embedding.out.weight)
    vector, null = part.embed(rates[:, None]).vector, part.null(x).vector
    assert vector is not None
    assert null is not None
    assert torch.allclose(vector[1], null[1])
    assert not torch.allclose(vector[0], null[0], atol=1e-2)
