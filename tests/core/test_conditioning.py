"""Conditions: the null is what absence means, and dropping is per sample."""

import pytest
import torch

from unfog.core.conditioning import (
    ClassCondition,
    Conditioner,
    SpatialCondition,
    TokenCondition,
    VectorCondition,
)
from unfog.errors import InputError

PARTS = {
    "label": (ClassCondition(5, 8), torch.tensor([0, 4, 2])),
    "vector": (VectorCondition(4, 8), torch.randn(3, 4)),
    "image": (SpatialCondition(2), torch.randn(3, 2, 6, 6)),
    "text": (TokenCondition(4, 8), torch.randn(3, 7, 4)),
}
X = torch.randn(3, 1, 6, 6)


def pieces(context):
    return [
        p
        for p in (context.vector, context.spatial, context.tokens, context.token_mask)
        if p is not None
    ]


@pytest.mark.parametrize("name", ["label", "vector", "image"])
def test_a_dropped_sample_is_null_and_the_others_are_not(name):
    part, value = PARTS[name]
    keep = torch.tensor([True, False, True])
    mixed, full, null = (
        pieces(part(v, k, X))[0] for v, k in ((value, keep), (value, None), (None, None))
    )
    assert torch.equal(mixed[1], null[1])
    assert torch.equal(mixed[0], full[0])
    assert not torch.equal(full[1], null[1])


def test_dropped_tokens_are_masked_and_the_null_token_counts():
    part, value = PARTS["text"]
    context = part(value, torch.tensor([True, False, True]), X)
    assert context.token_mask.tolist()[0] == [True] * 7 + [False]
    assert context.token_mask.tolist()[1] == [False] * 7 + [True]
    assert torch.equal(context.tokens[1, 7], part.absent)


def test_a_token_mask_reaches_the_network():
    conditioner = Conditioner({"text": TokenCondition(4, 8)})
    mask = torch.tensor([[True] * 3 + [False] * 4] * 3)
    context = conditioner(X, {"text": torch.randn(3, 7, 4), "text_mask": mask})
    assert torch.equal(context.token_mask, mask)


@pytest.mark.parametrize("null", ["learned", "zero"])
def test_null_is_learned_or_true_zeros(null):
    part = ClassCondition(3, 8, null=null)
    vector = part(None, None, X).vector
    assert vector.requires_grad == (null == "learned")
    assert bool((vector == 0).all()) == (null == "zero")


def test_conditions_of_one_kind_merge():
    two = Conditioner(
        {
            "a": ClassCondition(2, 8),
            "b": VectorCondition(3, 8),
            "c": SpatialCondition(1),
            "d": SpatialCondition(2),
        }
    )
    values = {
        "a": torch.tensor([0, 1, 1]),
        "b": torch.randn(3, 3),
        "c": X,
        "d": X.repeat(1, 2, 1, 1),
    }
    context = two(X, values)
    assert torch.allclose(
        context.vector,
        two.parts["a"](values["a"], None, X).vector + two.parts["b"](values["b"], None, X).vector,
    )
    assert context.spatial.shape[1] == 2 + 3


def test_wrong_conditions_are_refused():
    conditioner = Conditioner({"label": ClassCondition(5, 8)})
    with pytest.raises(InputError, match="takes no condition 'text'"):
        conditioner(X, {"text": torch.zeros(3)})
    with pytest.raises(InputError, match="between 0 and 4"):
        conditioner(X, {"label": torch.tensor([0, 1, 5])})
