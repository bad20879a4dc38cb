"""Copies are found under what disguises them, the threshold keeps its promise, and the area under
the curve is scikit-learn's.
"""

from __future__ import annotations

import pytest
import torch

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.memorisation import (
    beta_binomial_tail,
    membership_auc,
    moves,
    nearest_in_features,
    nearest_in_pixels,
    verdict,
)


def pictures(n: int, name: str) -> torch.Tensor:
    """Smooth random pictures (n, 1, 12, 12)."""
    noise = torch.randn(n, 1, 16, 16, generator=generator(0, name))
    return torch.nn.functional.avg_pool2d(noise, 5, 1)


@pytest.mark.parametrize(
    "disguise",
    [
        lambda x: x,
        lambda x: x.flip(-1),
        lambda x: 0.3 * x + 5,
        lambda x: x.roll(1, -1),
        lambda x: x.flip(-1).roll((1, -1), (-2, -1)),
        lambda x: x + 0.02 * torch.randn(x.shape, generator=generator(1, "n")),
    ],
)
def test_a_copy_is_found_in_disguise(disguise) -> None:
    train = pictures(300, "train")
    found = nearest_in_pixels(disguise(train[:40]), train)
    assert found.nearest.tolist() == list(range(40))
    others = nearest_in_pixels(pictures(40, "other"), train)
    assert float(found.relative.max()) < float(others.relative.min())


def test_distances_are_those_by_hand() -> None:
    train, x = torch.arange(30.0)[:, None] ** 2, torch.tensor([[10.0]])
    found = nearest_in_features(x, train)
    distances = sorted((float(v) - 10) ** 2 for v in train[:, 0])
    distances = [v**0.5 for v in distances]
    assert (int(found.nearest), float(found.distance), float(found.second)) == (3, 1.0, 6.0)
    assert float(found.usual) == pytest.approx(sum(distances[1:21]) / 20)


def test_vectors_are_not_moved_and_pictures_in_eighteen_ways() -> None:
    assert len(list(moves(torch.zeros(2, 3)))) == 1
    x = pictures(1, "x")
    ways = torch.cat(list(moves(x)))
    assert len(ways.flatten(1).unique(dim=0)) == 18
    assert bool((ways == x).flatten(1).all(1).any())


def test_false_alarms_are_as_many_as_promised() -> None:
    shares = []
    for i in range(200):
        scores = torch.rand(400, generator=generator(0, f"s{i}"))
        shares.append(float(verdict(scores[:200], scores[200:], 0.05).flagged.double().mean()))
    # E = k / (h + 1) = 10 / 201.
    assert sum(shares) / 200 == pytest.approx(10 / 201, abs=0.006)


def test_the_chance_of_so_many_is_a_fair_one() -> None:
    """Under no copying a chance below q comes about at most as often as q."""
    chances = []
    for i in range(300):
        scores = torch.rand(200, generator=generator(3, f"c{i}"))
        chances.append(verdict(scores[:100], scores[100:], 0.05).chance)
    for q in (0.05, 0.2):
        assert sum(c <= q for c in chances) / 300 <= q + 2 * (q / 300) ** 0.5


def test_the_beta_binomial_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.betabinom(50, 3, 98).sf(6)
    assert beta_binomial_tail(7, 50, 3, 98) == pytest.approx(expected, rel=1e-9)
    assert beta_binomial_tail(0, 50, 3, 98) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_planted_duplicates_are_found(share) -> None:
    train, n = pictures(600, "train"), 400
    copies = round(share * n)
    x = torch.cat([train[:copies].flip(-1) * 0.8 + 0.1, pictures(n - copies, "fresh")])
    scores = nearest_in_pixels(x, train).relative
    held = nearest_in_pixels(pictures(400, "held"), train).relative
    found = verdict(scores, held, 0.01)
    assert float(found.flagged[:copies].double().mean()) >= 0.95
    assert float(found.flagged[copies:].double().mean()) <= 0.05
    if share > 0.02:
        assert found.chance < 0.01


def test_without_copies_nothing_is_said() -> None:
    train = pictures(600, "train")
    scores = nearest_in_pixels(pictures(400, "fresh"), train).relative
    held = nearest_in_pixels(pictures(400, "held"), train).relative
    assert verdict(scores, held).chance > 0.05


def test_the_area_is_scikit_learns_and_its_error_the_spread_of_many() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    areas, errors = [], []
    for i in range(100):
        members = torch.randn(80, generator=generator(0, f"m{i}")) - 0.5
        others = torch.randn(120, generator=generator(0, f"o{i}"))
        found = membership_auc(members, others)
        areas.append(found.value)
        errors.append(found.error)
    expected = metrics.roc_auc_score([1] * 80 + [0] * 120, torch.cat([-members, -others]))
    assert areas[-1] == pytest.approx(expected, abs=1e-12)
    spread = float(torch.tensor(areas).std())
    assert sum(errors) / 100 == pytest.approx(spread, rel=0.2)


def test_too_little_to_compare_with_is_refused() -> None:
    with pytest.raises(InputError, match="at least 50"):
        verdict(torch.rand(100), torch.rand(20))
    with pytest.raises(InputError, match="training items"):
        nearest_in_features(torch.rand(3, 2), torch.rand(5, 2))
