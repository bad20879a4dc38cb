"""Conditions: the null is what absence means, and dropping is per sample."""

import pytest
import torch

from unfog.core.conditioning import Conditioner
from unfog.core.conditions import (
    ClassCondition,
    MaskCondition,
    SpatialCondition,
    TokenCondition,
    VectorCondition,
    class_maps,
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


LABELS = torch.tensor([[[0, 1], [2, 1]], [[2, 2], [0, 0]], [[1, 0], [0, 2]]])


def test_a_mask_is_a_map_and_a_flag_a_class_and_what_is_hidden_is_zero():
    part, x = MaskCondition(3), torch.randn(3, 1, 2, 2)
    assert part.sizes == {"spatial_channels": 6}
    full = part(LABELS, None, x).spatial
    one_hot = torch.stack([LABELS.eq(k).float() for k in range(3)], 1)
    assert torch.equal(full, torch.cat([one_hot, torch.ones(3, 3, 2, 2)], 1))
    keep = torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    shown = part(LABELS, keep, x).spatial
    flags = keep.float()[:, :, None, None].expand(3, 3, 2, 2)
    assert torch.equal(shown, torch.cat([one_hot * flags, flags], 1))
    assert torch.equal(shown[1], part(None, None, x).spatial[1])
    # Hidden by training and not asked for by the user are one thing, and compose.
    asked = torch.tensor([[True, True, False]] * 3)
    assert torch.equal(part(LABELS, keep, x, asked).spatial, part(LABELS, keep & asked, x).spatial)


def test_forms_of_a_mask_agree_and_a_coarser_grid_takes_the_mean():
    part, x = MaskCondition(3), torch.randn(3, 4, 2, 2)
    full = part(LABELS, None, x).spatial
    for same in (LABELS[:, None], LABELS[:, None].float(), class_maps(LABELS, 3)):
        assert torch.equal(part(same, None, x).spatial, full)
    coarse = part(LABELS, None, x[:, :, :1, :1]).spatial
    torch.testing.assert_close(coarse, full.mean((2, 3), keepdim=True))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (LABELS + 1, "whole numbers from 0 to 2"),
        (LABELS[:, None] + 0.5, "whole numbers"),
        (torch.rand(3, 2, 2, 2), "3 maps of probabilities"),
        (torch.zeros(3, 1, 3, 3), "make it on that of the data"),
    ],
)
def test_wrong_masks_are_refused(value, words):
    with pytest.raises(InputError, match=words):
        MaskCondition(3)(value, None, torch.randn(3, 1, 2, 2))


def test_an_image_is_averaged_over_the_cells_of_latents():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    conditioner = Conditioner({"image": SpatialCondition(1)})
    context = conditioner(torch.zeros(1, 4, 2, 2), {"image": image})
    wanted = torch.tensor([[2.5, 4.5], [10.5, 12.5]])
    assert torch.equal(context.spatial[0, 0], wanted)
    with pytest.raises(InputError, match="does not lie on a grid of 3 x 3"):
        conditioner(torch.zeros(1, 4, 3, 3), {"image": image})
