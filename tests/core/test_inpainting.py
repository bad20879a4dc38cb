"""The condition of a sample with a hole: how holes are drawn, what a network is given, and the
Gaussian whose conditional law is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import unfog
from unfog.core.codec import Identity
from unfog.core.conditioning import Conditioner
from unfog.core.conditions import InpaintingCondition
from unfog.core.inpainting import box, hole, stroke
from unfog.core.random import generator, generators
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.build import build
from unfog.runs.guided import guided
from unfog.runs.inpaint import around, inpaint
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure

SPACES = [(24,), (12, 20), (8, 6, 10)]


@pytest.mark.parametrize("space", SPACES)
def test_holes_are_drawn_by_their_generator(space: tuple[int, ...]) -> None:
    part = InpaintingCondition(2)
    x = 3 + torch.rand(40, 2, *space)
    value, known = part.derive(x, generators(0, range(40)))
    assert value.shape == x.shape
    assert known.shape == (40, 1, *space)
    again = part.derive(x[7:8], generators(0, [7]))
    assert torch.equal(again[0], value[7:8])
    assert torch.equal(again[1], known[7:8])
    # x_0 outside the hole, zeros in it; every sample has a hole.
    assert torch.equal(value, torch.where(known.bool(), x, 0))
    shares = known.flatten(1).mean(1)
    assert float(shares.max()) < 1
    assert len(shares.unique()) > 10


def test_the_share_that_is_all_hole_is_as_stated() -> None:
    x = torch.ones(400, 1, 32, 32)
    for share in (0.0, 0.5, 1.0):
        known = InpaintingCondition(1, everything=share).derive(x, generators(0, range(400)))[1]
        found = float((known.flatten(1).sum(1) == 0).float().mean())
        assert found == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("space", SPACES)
def test_a_box_is_a_box_and_a_stroke_is_connected(space: tuple[int, ...]) -> None:
    for k in range(20):
        inside = box(space, generator(k))
        spans = []
        for axis in range(len(space)):
            others = tuple(a for a in range(len(space)) if a != axis)
            line = inside.sum(others).bool() if others else inside
            where = line.nonzero()[:, 0]
            spans.append(int(where.max() - where.min()) + 1)
        assert int(inside.sum()) == int(torch.tensor(spans).prod())
        assert connected(stroke(space, generator(k)))


def connected(shape: Tensor) -> bool:
    """Whether the points of a shape hang together, by neighbours with a corner in common."""
    reached = torch.zeros_like(shape)
    reached[tuple(shape.nonzero()[0])] = True
    pool = {1: torch.nn.MaxPool1d, 2: torch.nn.MaxPool2d, 3: torch.nn.MaxPool3d}[shape.ndim]
    grow = pool(3, stride=1, padding=1)
    for _ in range(sum(shape.shape) * 2):
        reached = (grow(reached.float()[None, None])[0, 0] > 0) & shape
    return bool(torch.equal(reached, shape))


def test_all_kinds_of_holes_occur_and_none_is_empty() -> None:
    holes = torch.stack([hole((16, 16), generator(k), 0.0) for k in range(200)])
    assert bool(holes.flatten(1).any(1).all())
    corners = holes[:, [0, 0, -1, -1], [0, -1, 0, -1]].all(1)
    assert 20 < int(corners.sum()) < 120  # all but a box, and large boxes


def test_what_the_network_sees_and_the_null() -> None:
    conditioner = Conditioner({"hole": InpaintingCondition(2)})
    x = torch.randn(3, 2, 8, 8)
    known = (torch.rand(3, 1, 8, 8) > 0.5).float()
    seen = conditioner(x, {"hole": x, "hole_mask": known}).spatial
    assert torch.equal(seen, torch.cat([x * known, known], 1))
    # The null is a hole that is everything.
    nothing = conditioner(x, {"hole": x, "hole_mask": torch.zeros_like(known)}).spatial
    assert torch.equal(conditioner(x, {}).spatial, nothing)
    kept = conditioner(x, {"hole": x, "hole_mask": known}, {"hole": torch.tensor([1, 0, 1]) > 0})
    assert torch.equal(kept.spatial[[0, 2]], seen[[0, 2]])
    assert not kept.spatial[1].any()
    for wrong in ({"hole": x[..., :4]}, {"hole": x, "hole_mask": known[..., :4]}):
        with pytest.raises(InputError, match="lie on the grid of what is drawn"):
            conditioner(x, wrong)
    with pytest.raises(InputError, match="between 0 and 1"):
        InpaintingCondition(1, everything=1.5)
    with pytest.raises(InputError, match="not in vectors"):
        InpaintingCondition(3).derive(torch.randn(2, 3), generators(0, range(2)))


TINY = ["network.channels=8", "network.groups=4"]
ADDED = "conditions.hole.name=inpainting"


def test_any_recipe_takes_the_condition() -> None:
    for system, side in (("ddpm", 8), ("edm", 8), ("rectified-flow", 8)):
        data = Memory(torch.rand(6, 3, side, side))
        config = configure(
            system, data, {"name": "memory"}, [ADDED, "conditions.hole.everything=0.5", *TINY]
        )
        assert config["conditions"]["hole"] == {
            "name": "inpainting",
            "drop": 0.0,
            "everything": 0.5,
        }
        part = build(config).denoiser.conditioner.parts["hole"]
        assert (part.channels, part.everything) == (3, 0.5)
    for pair, words in (
        ("conditions.hole.name=class", "made of the data themselves"),
        ("conditions.hole.name=inpaint", "did you mean 'inpainting'"),
        ("conditions.x.name=inpainting", "named by one word"),
        ("conditions.hole.everythin=1", "Unknown setting"),
    ):
        with pytest.raises(InputError, match=words):
            configure("ddpm", data, {"name": "memory"}, [pair])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An untrained EDM of 8 x 8 pictures with a class and a hole."""
    g = torch.Generator().manual_seed(0)
    return unfog.train(
        "edm",
        torch.rand(8, 1, 8, 8, generator=g),
        tmp_path / "run",
        steps=2,
        labels=torch.arange(8) % 2,
        settings={"conditions.hole.name": "inpainting", "network.channels": 8, "network.groups": 4},
    )


def test_known_pixels_are_exact_and_guidance_leaves_the_hole(run: Run) -> None:
    x, empty = torch.rand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    space = empty.clone()
    space[..., 2:6] = True
    plan = Plan.of(run, None, 3)
    out = inpaint(run, x, space, plan, samples=3, condition={"label": torch.tensor([1])})
    assert out.shape == (2, 3, 1, 8, 8)
    assert torch.equal(out[..., :2], x[:, None].expand_as(out)[..., :2])
    assert len({float(v) for v in out[0, :, 0, 3, 3]}) == 3
    # Draw k of sample i is its own, whatever is drawn beside it.
    alone = inpaint(run, x[:1], space[:1], plan, samples=2, condition={"label": torch.tensor([1])})
    torch.testing.assert_close(alone, out[:1, :2])
    # What is in the hole does not count, not even what is no number.
    spoiled = torch.where(space, torch.nan, x)
    again = inpaint(run, spoiled, space, plan, samples=3, condition={"label": torch.tensor([1])})
    torch.testing.assert_close(again[..., 2:6], out[..., 2:6])
    # Both terms of guidance are told the hole.
    told = around(run, x, space)
    editor = guided(run, 3.0)
    assert {"hole", "hole_mask"} <= set(editor.always)
    x_t, t, label = torch.randn(2, 1, 8, 8), torch.tensor(0.5), torch.tensor([1, 1])
    with_, without = run.denoiser(x_t, t, label=label, **told), run.denoiser(x_t, t, **told)
    expected = without.mean + 3 * (with_.mean - without.mean)
    torch.testing.assert_close(editor(x_t, t, label=label, **told).mean, expected)
    with pytest.raises(InputError, match="on the grid of the samples"):
        inpaint(run, x, space[..., :4], plan)
    # From nothing it draws as well.
    assert draw(run, plan, range(2)).shape == (2, 1, 8, 8)


class Halved(Identity):
    """Latents on a grid of half the sides, the means of cells."""

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (shape[0], *(side // 2 for side in shape[1:]))

    def encode(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 2)

    def decode(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_in_a_latent_space_a_hole_is_every_cell_it_touches(run: Run) -> None:
    latent = replace(run, codec=Halved())
    x, space = torch.rand(1, 1, 16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    space[..., 3:6, 8:9] = True  # cells 1 and 2 down, 4 across
    told = around(latent, x, space)
    known = torch.ones(1, 1, 8, 8)
    known[..., 1:3, 4] = 0
    assert torch.equal(told["hole_mask"], known)
    assert torch.equal(told["hole"], avg_pool2d(x, 2) * known)
    # The pixels around the hole come back as they are, also in the cells that it touches.
    out = inpaint(latent, x, space, Plan.of(run, None, 2), samples=2)
    assert out.shape == (1, 2, 1, 16, 16)
    assert torch.equal(out[:, :, ~space[0]], x[:, None].expand_as(out)[:, :, ~space[0]])
    assert not torch.equal(out[:, 0][space], x[space])


def autoregression(count: int, randomness: torch.Generator) -> Tensor:
    return torch.randn(count, 16, generator=randomness) @ torch.linalg.cholesky(COVARIANCE).T


PLACE = torch.arange(16.0)
COVARIANCE = 0.25 * 0.8 ** (PLACE[:, None] - PLACE).abs()  # of an AR(1) process, x' = 0.8 x + noise


@pytest.mark.slow
def test_what_is_drawn_in_a_hole_has_the_gaussian_conditional_law(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    run = unfog.train(
        "edm",
        Memory(autoregression(6000, g)[:, None].numpy(), dims=1, value_range=(-1.0, 1.0)),
        tmp_path / "run",
        steps=1500,
        settings={
            "conditions.hole.name": "inpainting",
            "network.channels": 32,
            "network.groups": 8,
            "network.multipliers": [1],
            "network.blocks": 1,
            "network.attention_levels": [0],
            "training.batch": 128,
            "training.lr": 4e-3,
            "training.warmup": 50,
            "training.ema": 0.99,
        },
    )
    inside = torch.zeros(16, dtype=torch.bool)
    inside[5:11] = True
    x = autoregression(1, torch.Generator().manual_seed(5))
    # Given the rest: mean S_ho S_oo^-1 x_o, covariance S_hh - S_ho S_oo^-1 S_oh.
    weights = COVARIANCE[inside][:, ~inside] @ torch.linalg.inv(COVARIANCE[~inside][:, ~inside])
    mean = weights @ x[0, ~inside]
    covariance = COVARIANCE[inside][:, inside] - weights @ COVARIANCE[~inside][:, inside]
    hole = inside[None, None]
    plan = Plan.of(run, None, 18)
    drawn = inpaint(run, x[:, None], hole, plan, samples=1000, batch=500)[0, :, 0]
    assert torch.equal(drawn[:, ~inside], x[:, ~inside].expand(1000, -1))
    found = drawn[:, inside]
    deviation = covariance.diagonal().sqrt()
    assert float(((found.mean(0) - mean) / deviation).abs().max()) < 0.2
    scaled = (torch.cov(found.T) - covariance) / (deviation[:, None] * deviation)
    assert float(scaled.abs().max()) < 0.2
    # Told another picture, it draws another: by the closed form's own slope.
    other = x.clone()
    other[0, ~inside] += 0.4
    moved = inpaint(run, other[:, None], hole, plan, samples=500, batch=500)[0, :, 0][:, inside]
    slope = weights.sum(1) * 0.4
    assert float(slope.min()) > 2 * float((moved.mean(0) - found.mean(0) - slope).abs().max())
