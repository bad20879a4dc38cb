"""Spherical interpolation: even turns, kept lengths, and ends that come nearer all the way."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unfog.errors import InputError
from unfog.sampling.slerp import slerp

SHARES = torch.linspace(0, 1, 9, dtype=torch.float64)


def arc(a: Tensor, b: Tensor) -> Tensor:
    """Nine points on the arc between two vectors, (9, numbers)."""
    return slerp(a.expand(9, -1), b.expand(9, -1), SHARES)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), numbers=st.integers(2, 64), spread=st.floats(1e-3, 3.0))
def test_one_end_comes_nearer_and_the_other_goes(seed: int, numbers: int, spread: float) -> None:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(numbers, generator=g, dtype=torch.float64)
    b = a + spread * torch.randn(numbers, generator=g, dtype=torch.float64)
    points = arc(a, b)
    to_a, to_b = (
        torch.nn.functional.cosine_similarity(points, end[None]).tolist() for end in (a, b)
    )
    assert all(x > y for x, y in pairwise(to_a))
    assert all(x < y for x, y in pairwise(to_b))
    # Each step turns by the same angle, and the length goes evenly from one to the other.
    turns = [float(slerp_angle(p, q)) for p, q in pairwise(points)]
    assert max(turns) - min(turns) < 1e-6
    lengths = points.norm(dim=1)
    torch.testing.assert_close(lengths, (1 - SHARES) * a.norm() + SHARES * b.norm())


def slerp_angle(p: Tensor, q: Tensor) -> Tensor:
    u, v = p / p.norm(), q / q.norm()
    return 2 * torch.atan2((u - v).norm(), (u + v).norm())


def test_a_quarter_turn_and_the_ends() -> None:
    a, b = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[0.0, 1.0]] * 3)
    out = slerp(a, b, torch.tensor([0.0, 1 / 3, 1.0]))
    expected = [[1, 0], [math.cos(math.pi / 6), math.sin(math.pi / 6)], [0, 1]]
    torch.testing.assert_close(out, torch.tensor(expected))
    assert out.dtype == a.dtype
    torch.testing.assert_close(slerp(a, a, 0.3), a)


def test_noise_keeps_its_deviation_where_a_line_loses_it() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4, 3, 16, 16, generator=g).unbind()
    assert abs(float(slerp(a, b, 0.5).std()) - 1) < 0.03
    assert float(((a + b) / 2).std()) < 0.75


def test_opposite_and_zero_vectors_are_refused() -> None:
    a = torch.ones(1, 3)
    with pytest.raises(InputError, match="not opposite"):
        slerp(a, -a, 0.5)
    with pytest.raises(InputError, match="not zero"):
        slerp(a, 0 * a, 0.5)
