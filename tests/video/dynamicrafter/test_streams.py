"""A small model, trained: a clip begins with the picture by the frames beside the noise, and shows
what the picture shows by its tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import unfog
from unfog import builtin  # noqa: F401  (registers the system)
from unfog.runs.run import Run
from unfog.video.animate import told_clips
from unfog.video.dynamicrafter.conditions import ends, repeated

SMALL = {
    "training.batch": 8,
    "training.lr": 2e-3,
    "training.precision": "fp32",
    "network.channels": 16,
    "network.head_dim": 16,
    "conditions.image.options.width": 32,
    "conditions.image.options.depth": 1,
    "conditions.image.options.heads": 2,
    "conditions.image.options.head_dim": 16,
    "conditions.image.token_width": 32,
    # So that each stream is also seen alone; the recipe never hides the frames.
    "conditions.frames.drop": 0.25,
}


def squares(count: int, seed: int) -> Tensor:
    """Squares of one of two shades that move around a torus, (count, 1, 4, 8, 8)."""
    g, x = torch.Generator().manual_seed(seed), torch.zeros(count, 1, 4, 8, 8)
    for clip in x[:, 0]:
        place, speed = (
            torch.randint(0, 8, (2,), generator=g),
            torch.randint(-1, 2, (2,), generator=g),
        )
        shade = (0.5, 1.0)[int(torch.randint(0, 2, (1,), generator=g))]
        for t, frame in enumerate(clip):
            frame[:3, :3] = shade
            frame.copy_(frame.roll((place + t * speed).tolist(), (0, 1)))
    return x


def drawn(run: Run, known: Tensor, *hidden: str) -> Tensor:
    """A clip for each of the known frames, some streams hidden by zeros in their place."""
    part: Any = dict(run.denoiser.conditioner.named())
    for name in hidden:
        inner = part[name].embed
        part[name].embed = lambda value, inner=inner: inner(torch.zeros_like(value))
    try:
        return told_clips(run, known, samples=len(known), steps=20, batch=32)
    finally:
        for name in hidden:
            del part[name].embed


def of_their_shade(clips: Tensor, first: Tensor) -> float:
    """The share of clips in whose typical frame the square has the shade of the picture's."""
    shade = clips.amax((1, 3, 4)).median(1).values > 0.75
    return float((shade == (first.amax((1, 2, 3)) > 0.75)).double().mean())


def psnr(a: Tensor, b: Tensor) -> float:
    """Of pictures (batch, 1, rows, columns) with values up to 1, in dB, on average."""
    return float(-10 * (a - b).square().mean((1, 2, 3)).clamp(min=1e-6).log10().mean())


@pytest.mark.slow
def test_what_each_stream_of_a_picture_says(tmp_path: Path) -> None:
    run = unfog.train(
        "dynamicrafter",
        squares(4000, 0),
        tmp_path / "run",
        steps=300,
        value_range=(0, 1),
        settings=SMALL,
    )
    test = squares(32, 99)
    known, first, last = run.codec.encode(test), test[:, :, 0], test[:, :, -1]
    whole = drawn(run, repeated(known))
    begun = psnr(whole[:, :, 0], first)
    assert begun > psnr(drawn(run, repeated(known), "frames")[:, :, 0], first) + 3
    assert begun > 15
    assert of_their_shade(whole, first) > 0.8
    # The tokens do not show where things are, but what they are: without them that is lost, with
    # the frames and without.
    without = drawn(run, repeated(known), "image")
    assert psnr(without[:, :, 0], first) > begun - 6
    assert of_their_shade(without, first) < 0.75
    assert of_their_shade(drawn(run, repeated(known), "frames"), first) > 0.8
    assert of_their_shade(drawn(run, repeated(known), "frames", "image"), first) < 0.75
    # A clip between two pictures ends on both.
    between = drawn(run, ends(known))
    assert psnr(between[:, :, 0], first) > 15
    assert psnr(between[:, :, -1], last) > 15
    assert psnr(between[:, :, -1], last) > psnr(whole[:, :, -1], last) + 3
