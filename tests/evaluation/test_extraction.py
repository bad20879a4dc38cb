"""What is drawn again and again is found, and honest draws are not accused."""

from __future__ import annotations

import torch

from unfog.evaluation.extraction import extracted, nearest_in_group
from unfog.evaluation.memorisation import nearest_in_pixels


def smooth(n: int, seed: int) -> torch.Tensor:
    noise = torch.randn(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 5, 1)


def test_the_nearest_of_a_group_is_found_under_what_does_not_count():
    x = smooth(6, 0)
    x[3] = 2.0 * x[1].flip(-1) + 0.5  # another contrast, mirrored
    found = nearest_in_group(x[None])[0]
    # float32: the square root of twice its rounding.
    assert float(found[[1, 3]].max()) < 2e-3
    assert float(found[[0, 2, 4, 5]].min()) > 0.2
    # Another group's draws do not count.
    apart = nearest_in_group(torch.stack([x[:3], x[3:]]))
    assert float(apart.min()) > 0.2


def test_what_is_by_heart_is_extracted_and_repetition_alone_is_not():
    train, held = smooth(300, 1), smooth(200, 2)
    draws = smooth(80, 3).unflatten(0, (8, 10))
    draws[0, :4] = train[7] + 0.01 * smooth(4, 4)  # of heart: near-duplicates of an item
    draws[1, :4] = smooth(1, 5) + 0.01 * smooth(4, 6)  # repeated, but of nothing it was shown
    draws[2, 0] = train[9]  # a copy that is drawn once
    near, held_near = (nearest_in_pixels(x, train) for x in (draws.flatten(0, 1), held))
    found = extracted(draws, held.unflatten(0, (20, 10)), near, held_near, alarm=0.02)
    flagged = found.repeated.flagged.unflatten(0, (8, 10))
    assert flagged[0, :4].all()
    assert flagged[1, :4].all()
    assert not flagged[2, 0]
    assert found.found.unflatten(0, (8, 10))[0, :4].all()
    assert not found.found.unflatten(0, (8, 10))[1:3].any()
    assert 7 in found.items
    assert found.repeated.chance < 0.01


def test_as_many_honest_draws_are_repeated_as_is_allowed():
    shares = []
    train = smooth(60, 0)
    for seed in range(40):
        x = smooth(200, 100 + seed)
        draws, held = x[:100].unflatten(0, (10, 10)), x[100:].unflatten(0, (10, 10))
        near, held_near = (nearest_in_pixels(part, train) for part in (x[:100], x[100:]))
        found = extracted(draws, held, near, held_near, alarm=0.1)
        shares.append(float(found.repeated.flagged.double().mean()))
    mean = sum(shares) / len(shares)
    # Pairs come together, so the spread over draws is that of about half as many.
    assert 0.05 < mean < 0.15
