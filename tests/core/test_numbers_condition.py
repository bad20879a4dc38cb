"""Numbers as a condition: each may be given by itself, and what is hidden does not count."""

from __future__ import annotations

import torch

from unfog.core.conditioning import Conditioner
from unfog.core.numbers_condition import NumbersCondition
from unfog.runs.build import drops


def test_what_is_hidden_does_not_count_and_the_null_gives_nothing() -> None:
    part = NumbersCondition(size=3, width=8)
    conditioner, x_t = Conditioner({"property": part}), torch.zeros(2, 1, 4)
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    only = torch.tensor([[True, False, False]]).expand(2, -1)
    same = torch.cat([a[:, :1], b[:, 1:]], 1)

    def vector(value: torch.Tensor | None, **more: torch.Tensor) -> torch.Tensor:
        values = {} if value is None else {"property": value, **more}
        found = conditioner(x_t, values).vector
        assert found is not None
        return found

    one, other = (vector(v, property_mask=only) for v in (a, same))
    assert torch.equal(one, other)
    assert not torch.allclose(one, vector(a))
    none = vector(a, property_mask=torch.zeros_like(only))
    assert torch.equal(none, vector(None))
    # A zero that is given is not the same as nothing.
    assert not torch.allclose(vector(torch.zeros(2, 3)), vector(None))


def test_training_may_hide_numbers_one_by_one() -> None:
    part, x_t, value = NumbersCondition(2, 4), torch.zeros(3, 1, 4), torch.ones(3, 2)
    keep = torch.tensor([[True, True], [True, False], [False, False]])
    vector = part(value, keep, x_t).vector
    assert vector is not None
    torch.testing.assert_close(vector[:1], part(value[:1], None, x_t[:1]).vector)
    torch.testing.assert_close(vector[2:], part.null(x_t[:1]).vector)
    section = {"name": "numbers", "size": 2, "drop": 0.1, "drop_each": 0.3}
    assert drops({"conditions": {"property": section}}) == {"property": [0.1, 0.3, 0.3]}
