"""Modes of a mixture of known law."""

from __future__ import annotations

import math

import pytest
import torch

from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.evaluation.modes import modes_found


def test_real_points_find_all_modes_with_the_share_of_the_plane():
    data = open_dataset("grid-mixture")
    x = data.batch(range(len(data)))["x"]
    found = modes_found(x, data.modes, data.width)
    share, n = 1 - math.exp(-4.5), len(x)
    assert found["modes"] == 25
    assert abs(found["high quality"] - share) < 4 * math.sqrt(share * (1 - share) / n)
    # 2 n KL is chi-squared of 24 degrees of freedom.
    assert 2 * n * found["uneven"] < 24 + 4 * math.sqrt(48)
    low, high = data.codec["low"], data.codec["high"]
    assert low < float(x.min()) <= float(x.max()) < high


def test_what_is_lost_is_counted():
    modes = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    x = torch.tensor([[0.0, 0.1], [0.1, 0.0], [2.0, 0.29], [4.0, 0.31]])
    found = modes_found(x, modes, 0.1)
    assert found["modes"] == 2
    assert found["high quality"] == 0.75
    expected = sum(p * math.log(4 * p) for p in (2 / 3, 1 / 3))
    assert found["uneven"] == pytest.approx(expected)
    nothing = modes_found(x + 100, modes, 0.1)
    assert nothing == {"modes": 0, "high quality": 0, "uneven": pytest.approx(math.log(4))}


def test_splits_differ_and_modes_lie_apart():
    first, other = (open_dataset("grid-mixture", split=s) for s in ("train", "test"))
    assert not torch.equal(first.batch(range(9))["x"], other.batch(range(9))["x"])
    assert torch.equal(first.batch([5])["x"], open_dataset("grid-mixture").batch([5])["x"])
    with pytest.raises(InputError, match="lie apart"):
        open_dataset("grid-mixture", width=1.0)
