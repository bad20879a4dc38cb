"""The condition of a text: its two parts, their nulls, and what masks and dropping do to them."""

import pytest
import torch

from unfog.core.conditioning import Conditioner
from unfog.core.conditions import SequenceCondition
from unfog.runs.build import drops
from unfog.training.objectives.objective import Drop

SIZE, POOLED, WIDTH, TOKEN = 5, 3, 7, 4
X = torch.zeros(2, 1, 4, 4)
VALUE = torch.randn(2, 4, SIZE, generator=torch.Generator().manual_seed(0))
ALL = torch.ones(2, 4, dtype=torch.bool)


@pytest.fixture
def condition():
    torch.manual_seed(0)
    return SequenceCondition(SIZE, POOLED, WIDTH, TOKEN)


def attended(context):
    """What attention with equal scores makes of the tokens: their mean, (batch, width)."""
    weights = context.token_mask.float()[..., None]
    return (context.tokens * weights).sum(1) / weights.sum(1)


def test_the_first_row_is_the_vector_and_the_others_are_tokens(condition):
    context = condition(VALUE, None, X)
    assert torch.allclose(context.vector, condition.pooled(VALUE[:, 0, :POOLED]))
    assert torch.allclose(attended(context), condition.token(VALUE[:, 1:]).mean(1), atol=1e-6)


def test_each_part_is_dropped_without_the_other(condition):
    whole, null = condition(VALUE, None, X), condition(None, None, X)
    no_vector, no_tokens = ALL.clone(), ALL.clone()
    no_vector[:, 0], no_tokens[:, 1:] = False, False
    without_vector = condition(VALUE, None, X, no_vector)
    without_tokens = condition(VALUE, None, X, no_tokens)
    assert torch.allclose(without_vector.vector, null.vector)
    assert torch.allclose(attended(without_vector), attended(whole))
    assert torch.allclose(without_tokens.vector, whole.vector)
    assert torch.allclose(attended(without_tokens), attended(null))
    assert not torch.allclose(attended(whole), attended(null), atol=1e-2)
    assert not torch.allclose(whole.vector, null.vector, atol=1e-2)


def test_training_hides_the_whole_or_a_part(condition):
    whole, null = condition(VALUE, None, X), condition(None, None, X)
    hidden = condition(VALUE, torch.tensor([True, False]), X)
    assert torch.allclose(hidden.vector, torch.stack([whole.vector[0], null.vector[1]]))
    assert torch.allclose(attended(hidden)[1], attended(null)[1])
    parts = condition(VALUE, torch.tensor([[True, False], [False, True]]), X)
    assert torch.allclose(parts.vector, torch.stack([whole.vector[0], null.vector[1]]))
    assert torch.allclose(attended(parts)[0], attended(null)[0])
    assert torch.allclose(attended(parts)[1], attended(whole)[1])


def test_padding_changes_nothing(condition):
    longer = torch.cat([VALUE, 9 * torch.ones(2, 3, SIZE)], 1)
    mask = torch.cat([ALL, torch.zeros(2, 3, dtype=torch.bool)], 1)
    assert torch.allclose(
        attended(condition(longer, None, X, mask)), attended(condition(VALUE, None, X))
    )


def test_a_null_of_zeros_is_no_parameter():
    plain = SequenceCondition(SIZE, POOLED, WIDTH, TOKEN, null="zero")
    assert not plain(None, None, X).vector.any()
    assert "absent_vector" not in dict(plain.named_parameters())


def test_the_drop_of_a_text_is_of_the_whole_and_of_each_part():
    section = {"name": "sequence", "size": SIZE, "pooled_size": POOLED, "drop": 0.25}
    assert drops({"conditions": {"text": section}}) == {"text": [0.25, 0.0, 0.0]}
    each = {**section, "drop_each": [0.5, 0.1]}
    assert drops({"conditions": {"text": each}}) == {"text": [0.25, 0.5, 0.1]}
    keep = Drop({"text": [0.25, 0.5, 0.1]}).keep(range(4000), 0, 1)["text"].double().mean(0)
    expected = torch.tensor([0.75 * 0.5, 0.75 * 0.9], dtype=torch.float64)
    assert torch.allclose(keep, expected, atol=0.025)


def test_the_mask_reaches_the_condition_by_its_name(condition):
    mask = ALL.clone()
    mask[:, 0] = False
    context = Conditioner({"text": condition})(X, {"text": VALUE, "text_mask": mask})
    assert torch.allclose(context.vector, condition(None, None, X).vector)
