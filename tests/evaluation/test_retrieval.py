"""Canonical correlations against their closed form, and retrieval against counts."""

from __future__ import annotations

import pytest
import torch

from unfog.errors import InputError
from unfog.evaluation.retrieval import CanonicalCorrelations, ranks, retrieval


def pairs(correlations: list[float], n: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of which linear mixtures correlate as stated."""
    draw = torch.Generator().manual_seed(0)
    rho = torch.tensor(correlations, dtype=torch.float64)
    x = torch.randn(n, len(rho), generator=draw, dtype=torch.float64)
    other = torch.randn(n, len(rho), generator=draw, dtype=torch.float64)
    y = rho * x + (1 - rho**2).sqrt() * other
    mix = [torch.randn(len(rho), len(rho), generator=draw, dtype=torch.float64) for _ in "xy"]
    return x @ mix[0] + 3.0, y @ mix[1] - 1.0


def test_the_known_correlations_are_found_whatever_the_mixture() -> None:
    x, y = pairs([0.9, 0.6, 0.2])
    found = CanonicalCorrelations.fit(x, y, directions=3, shrinkage=0.0)
    assert found.correlations.tolist() == pytest.approx([0.9, 0.6, 0.2], abs=0.02)
    a = (x - x.mean(0)) @ found.first.directions
    b = (y - y.mean(0)) @ found.second.directions
    # Each pair of directions correlates as stated, and pairs do not with one another.
    together = a.T @ b / len(a)
    expected = torch.diag(found.correlations**2)
    torch.testing.assert_close(together, expected, atol=1e-9, rtol=0)


def test_what_does_not_correlate_is_retrieved_by_chance_and_what_does_is_not() -> None:
    x, y = pairs([0.99] * 6, 2000)
    judge = CanonicalCorrelations.fit(x[:1000], y[:1000], directions=6, shrinkage=1e-3)
    pictures, texts = judge.first(x[1000:]), judge.second(y[1000:])
    assert retrieval(pictures, texts) > 0.3
    assert retrieval(pictures, texts.roll(1, 0)) < 0.01
    assert retrieval(pictures, texts, 1000) == 1


def test_ranks_count_the_nearer_and_ties_count_against() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    pictures = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert ranks(pictures, texts).tolist() == [0, 2, 1]


def test_a_judge_needs_pairs_and_enough_features() -> None:
    x, y = torch.randn(10, 4), torch.randn(10, 3)
    with pytest.raises(InputError, match="10 and 9 rows"):
        CanonicalCorrelations.fit(x, y[:9], directions=2)
    with pytest.raises(InputError, match="no 4 canonical"):
        CanonicalCorrelations.fit(x, y, directions=4)


def test_texts_of_no_picture_are_rivals_too() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    pictures = torch.tensor([[0.8, 0.6]])
    assert ranks(pictures, texts).tolist() == [1]
    assert retrieval(pictures, texts, 2) == 1.0
