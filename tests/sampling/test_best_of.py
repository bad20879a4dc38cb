"""The best of several draws."""

from __future__ import annotations

import torch

from unfog.sampling.best_of import best_of, nearest


def test_the_draw_with_the_largest_score_is_kept_by_sample() -> None:
    draws = torch.arange(24.0).view(3, 4, 2)
    scores = torch.tensor([[0.0, 5, 1, 1], [1, 0, 1, 2], [2, 0, 0, 2]])
    expected = torch.stack([draws[2, 0], draws[0, 1], draws[0, 2], draws[1, 3]])
    assert torch.equal(best_of(draws, scores), expected)


def test_the_nearer_of_two_draws_is_nearer_by_the_mean_of_a_maximum() -> None:
    """Of two independent standard normals the larger has the mean 1 / sqrt(pi)."""
    g = torch.Generator().manual_seed(0)
    draws, towards = torch.randn(2, 40_000, 3, generator=g), torch.zeros(40_000, 3)
    towards[:, 1] = 1
    kept = nearest(draws, towards)
    assert abs(float(kept[:, 1].mean()) - torch.pi**-0.5) < 0.02
    assert abs(float(kept[:, 0].mean())) < 0.02
