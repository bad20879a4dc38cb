"""The refiner's data: scans after low rank beside their truth, reproducible, each shell with the
noise that low rank leaves of it.
"""

from __future__ import annotations

import pytest
import torch

from unfog.core.random import generator
from unfog.data.dataset import open_dataset
from unfog.dmri.prior.pairs import AfterLowRank, make_pairs
from unfog.errors import InputError


def test_pairs_are_low_ranks_answer_and_the_truth():
    """The error is of the size told, over all channels, and far below that of the signals; several
    shells are of the same tissue.
    """
    found, shells = [], []
    for k in range(6):
        pairs = make_pairs(16, generator(0, "test", k))
        inside, level = pairs.inside, pairs.level.float()
        error = (pairs.noisy.float() - pairs.x.float())[:, :, inside]
        found.append(float((error.square().mean(1) / level[:, inside].square()).mean().sqrt()))
        assert float(error.square().mean()) < 0.02 * float(
            pairs.x.float()[:, :, inside].square().mean()
        )
        b0 = pairs.x[:, 0].float() / pairs.shell[:, 1].exp()[:, None, None, None]
        torch.testing.assert_close(b0, b0[:1].expand_as(b0), rtol=5e-3, atol=5e-3)
        shells.append(len(pairs.x))
    assert min(found) > 0.5
    assert max(found) < 3
    assert 1 in shells
    assert max(shells) > 1


def test_a_crop_is_a_function_of_its_number():
    a, b = (AfterLowRank(side=8, around=12, scans=2, count=10, seed=3) for _ in range(2))
    first, again = a.batch([1, 4, 7]), b.batch([7, 1, 4])
    for name, values in first.items():
        torch.testing.assert_close(values, again[name][[1, 2, 0]])
    assert first["x"].shape == first["noisy"].shape == (3, 16, 8, 8, 8)
    assert not torch.equal(first["x"][0], first["x"][2])  # the same scan, another crop or turn
    assert (
        a.fingerprint
        == b.fingerprint
        != AfterLowRank(side=8, around=12, scans=2, count=10, seed=4).fingerprint
    )


def test_what_it_cannot_be():
    with pytest.raises(InputError, match="at least 8"):
        open_dataset({"name": "dmri-low-rank", "side": 16, "around": 12})
    with pytest.raises(InputError, match="samples 0 to 9"):
        AfterLowRank(side=8, around=12, scans=1, count=10).batch([10])
