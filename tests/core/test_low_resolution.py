"""The small picture of an upsampler: how it is made, how far a denoiser trusts it, and that it is
drawn by (seed, step, sample).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import unfog
from unfog.core.conditioning import Conditioner
from unfog.core.conditions import EmbeddingCondition, LowResolutionCondition
from unfog.core.low_resolution import enlarged, mixed, reduced
from unfog.core.random import generators
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.build import build
from unfog.runs.train import configure, objective_of
from unfog.training.objectives.objective import given


def test_noise_and_picture_are_mixed_to_unit_power() -> None:
    picture = torch.randn(3, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    level = torch.tensor([0.0, 0.6, 1.0])
    out = mixed(picture, level, generators(0, range(3)))
    assert torch.equal(out[0], picture[0])
    noise = mixed(picture, torch.ones(3), generators(0, range(3)))
    torch.testing.assert_close(out[1], 0.8 * picture[1] + 0.6 * noise[1])
    assert abs(float((noise[2] * picture[2]).mean())) < 0.03
    assert abs(float(out[1].var()) - 1) < 0.05
    # A sample's noise is its own, whatever its batch.
    alone = mixed(picture[1:2], level[1:2], generators(0, [1]))
    assert torch.equal(alone[0], out[1])


@pytest.mark.parametrize("space", [(32,), (16, 24), (8, 8, 12)])
def test_reducing_averages_cells_and_blur_is_gaussian(space: tuple[int, ...]) -> None:
    x = torch.randn(2, 2, *space, generator=torch.Generator().manual_seed(0))
    small = reduced(x, 4)
    corner = (slice(None), slice(None), *[slice(0, 4)] * len(space))
    place = (slice(None), slice(None), *[0] * len(space))
    torch.testing.assert_close(small[place], x[corner].flatten(2).mean(2))
    # A wave falls by exp(-(k deviation)^2 / 2) along every axis, each sample by its own deviation.
    length = 48
    wave = torch.sin(2 * torch.pi * torch.arange(length) / 8)
    for axis in range(len(space)):
        shape = [6] * len(space)
        shape[axis] = length
        line = [1] * len(space)
        line[axis] = length
        waves = wave.view(1, 1, *line).expand(2, 1, *shape).contiguous()
        blurred = reduced(waves, 1, torch.tensor([0.0, 1.5]))
        torch.testing.assert_close(blurred[0], waves[0])
        middle = blurred[1].movedim(axis + 1, -1)[..., 16:32]
        gain = middle.abs().max() / wave.abs().max()
        assert float(gain) == pytest.approx(math.exp(-0.5 * (2 * math.pi / 8 * 1.5) ** 2), abs=0.01)


def test_enlarging_keeps_lines_and_reducing_undoes_it_there() -> None:
    line = torch.linspace(-1, 1, 16).view(1, 1, 16, 1).expand(1, 1, 16, 16)
    big = enlarged(reduced(line, 2), (16, 16))
    torch.testing.assert_close(big[..., 2:14, :], line[..., 2:14, :])


def test_training_draws_the_small_picture_by_seed_step_and_sample() -> None:
    config = configure(
        "imagen-upsampler",
        Memory(torch.rand(6, 1, 16, 16)),
        {"name": "memory"},
        ["network.channels=8", "network.groups=4"],
    )
    denoiser = build(config).denoiser
    x = torch.rand(4, 1, 16, 16)
    both = given(denoiser, {"x": x}, [3, 1, 4, 5], 0, 7)
    one = given(denoiser, {"x": x[2:3]}, [4], 0, 7)
    other = given(denoiser, {"x": x}, [3, 1, 4, 5], 0, 8)
    for name, value in both.items():
        assert torch.equal(value[2:3], one[name])
        assert not torch.equal(value, other[name])
    assert both["low"].shape == (4, 1, 4, 4)
    assert both["low_level"].unique().numel() == 4
    loss = objective_of(config)(denoiser, {"x": x}, [3, 1, 4, 5], 0, 7)
    alone = objective_of(config)(denoiser, {"x": x[2:3]}, [4], 0, 7)
    assert isinstance(loss, Tensor)
    assert loss.shape == (4,)
    assert isinstance(alone, Tensor)


def test_the_null_and_what_is_refused() -> None:
    part = LowResolutionCondition(2, 8, factor=2)
    x = torch.randn(3, 2, 8, 8)
    context = Conditioner({"low": part})(x, {})
    assert context.spatial is not None
    assert context.spatial.shape == (3, 3, 8, 8)
    assert not context.spatial.any()
    given = {"low": torch.randn(3, 2, 4, 4), "low_level": torch.rand(3)}
    present = Conditioner({"low": part})(x, given)
    assert present.spatial is not None
    assert bool((present.spatial[:, -1] == 1).all())
    assert present.vector is not None
    assert len(present.vector.unique(dim=0)) == 3
    keep = torch.tensor([True, False, True])
    hidden = Conditioner({"low": part})(x, given, {"low": keep})
    assert hidden.spatial is not None
    assert torch.equal(hidden.spatial[0], present.spatial[0])
    assert not hidden.spatial[1].any()
    with pytest.raises(InputError, match="between 0 and 1"):
        mixed(x, torch.full((3,), 1.5), generators(0, range(3)))
    with pytest.raises(InputError, match="cannot be reduced by 3"):
        reduced(x, 3)
    with pytest.raises(InputError, match="its level"):
        LowResolutionCondition(2, 8, level=2.0)
    with pytest.raises(InputError, match="takes no condition 'low_mask'"):
        Conditioner({"low": part})(x, {"low_mask": torch.ones(3)})


def gaussian_lines(count: int) -> Tensor:
    """Lines (count, 1, 8), stationary Gaussian of deviation 1/2 and a correlation of 2 points."""
    g = torch.Generator().manual_seed(0)
    return torch.randn(count, 8, generator=g).matmul(root()).unsqueeze(1)


def root() -> Tensor:
    place = torch.arange(8.0)
    covariance = 0.25 * torch.exp(-(place[:, None] - place).abs() / 2)
    return torch.linalg.cholesky(covariance).T.contiguous()


def exact_gain(level: float, sigma: float) -> Tensor:
    """d E[x_0 | x_t, low] / d low of the clean small picture, (8, 4), for EDM's x_t of level
    ``sigma``: the small picture is A x, seen as sqrt(1 - level^2) A x + level n.
    """
    covariance = (root().T @ root()).double()
    small = torch.eye(8).view(4, 2, 8).mean(1).double()
    alpha = math.sqrt(1 - level**2)
    look = torch.cat([torch.eye(8).double(), alpha * small])
    noise = torch.diag(torch.tensor([sigma**2] * 8 + [max(level, 1e-6) ** 2] * 4).double())
    gain = covariance @ look.T @ torch.linalg.inv(look @ covariance @ look.T + noise)
    return alpha * gain[:, 8:]


def test_in_closed_form_trust_falls_as_the_level_rises() -> None:
    sizes = [float(exact_gain(level, 1.0).norm()) for level in torch.linspace(0, 1, 21)]
    assert all(a > b for a, b in pairwise(sizes))
    assert sizes[-1] < 1e-6


@pytest.mark.slow
def test_a_trained_upsampler_trusts_its_input_as_far_as_the_closed_form(tmp_path: Any) -> None:
    """The network's sensitivity to the small picture, level by level, beside that of a Gaussian."""
    data = Memory(gaussian_lines(4000), dims=1, value_range=(-1.0, 1.0))
    run = unfog.train(
        "imagen-upsampler",
        data,
        tmp_path / "run",
        steps=500,
        settings={
            "network.channels": 32,
            "network.groups": 8,
            "network.multipliers": [1, 2],
            "network.blocks": [1, 1],
            "network.attention_levels": [1],
            "conditions.low.factor": 2,
            "conditions.low.blur": 0.0,
            "conditions.low.level": 1.0,
            "training.batch": 128,
            "training.lr": 2e-3,
            "training.warmup": 50,
            "training.ema": 0.99,
        },
    )
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(1.0, dtype=torch.float64))
    alpha = process.alpha(t).float()
    g = torch.Generator().manual_seed(1)
    clean = gaussian_lines(256)
    x_t = alpha * (clean + torch.randn(clean.shape, generator=g))
    turn = 0.2 * torch.randn(256, 1, 4, generator=g)
    found, expected = [], []
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        levels = torch.full((256,), level)

        def mean(small: Tensor, levels: Tensor = levels) -> Tensor:
            noisy = mixed(small, levels, generators(0, range(256)))
            out: Tensor = run.denoiser(x_t, t, low=noisy, low_level=levels).mean
            return out

        with torch.no_grad():
            small = reduced(clean, 2)
            moved = (mean(small + turn) - mean(small - turn)) / 2
        found.append(float(moved.norm() / turn.norm()))
        exact = turn[:, 0].double() @ exact_gain(level, 1.0).T
        expected.append(float(exact.norm() / turn.norm()))
    assert all(a > b for a, b in pairwise(found)), found
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 0.15, (found, expected)


def test_an_embedding_enters_twice_and_each_way_may_be_left_out() -> None:
    torch.manual_seed(0)
    part = EmbeddingCondition(5, 8, tokens=4, token_width=6)
    x, value = torch.randn(3, 1, 8, 8), torch.randn(3, 5)
    conditioner = Conditioner({"embedding": part})
    full, none = conditioner(x, {"embedding": value}), conditioner(x, {})
    assert full.tokens is not None
    assert none.tokens is not None
    assert full.vector is not None
    assert none.vector is not None
    assert full.tokens.shape == none.tokens.shape == (3, 4, 6)
    assert full.token_mask is not None
    assert bool(full.token_mask.all())
    keep = torch.tensor([[True, False], [False, True], [False, False]])
    for keys in ({"keep": {"embedding": keep}}, {}):
        given = {"embedding": value} | ({} if keys else {"embedding_mask": keep})
        some = conditioner(x, given, keys.get("keep"))
        assert some.tokens is not None
        assert some.vector is not None
        torch.testing.assert_close(some.vector[0], full.vector[0])
        torch.testing.assert_close(some.vector[1:], none.vector[1:])
        torch.testing.assert_close(some.tokens[1], full.tokens[1])
        torch.testing.assert_close(some.tokens[[0, 2]], none.tokens[[0, 2]])
