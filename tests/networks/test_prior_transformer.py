"""The prior transformer: what it sees, in which places, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Conditioner, Context
from unfog.core.conditions import TokenCondition, VectorCondition
from unfog.errors import InputError
from unfog.networks import PriorTransformer, networks

X, LABEL = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([3.0, 600.0])


def built(**options: Any) -> PriorTransformer:
    """A prior with every tensor drawn anew, since it starts as the zero function."""
    torch.manual_seed(0)
    sizes = {"depth": 2, "width": 16, "heads": 2, "length": 5}
    network = PriorTransformer(6, 6, **{**sizes, **options})
    for p in network.parameters():
        nn.init.normal_(p, std=p[0].numel() ** -0.5 if p.ndim > 1 else 0.3)
    return network.eval()


def conditioned(keep: Tensor | None = None, **values: Tensor) -> Context:
    torch.manual_seed(1)
    parts = {"text": TokenCondition(4, 8), "summary": VectorCondition(3, 16)}
    kept = None if keep is None else {"text": keep, "summary": keep}
    return Conditioner(parts)(X, values, kept)


@torch.no_grad()
def test_it_starts_as_the_zero_function() -> None:
    network = networks.build({"name": "prior-transformer"}, in_channels=6, out_channels=12)
    out = network(X, LABEL)
    assert out.shape == (2, 12)
    assert not out.any()


@torch.no_grad()
def test_hidden_tokens_and_padding_change_nothing() -> None:
    network = built(token_width=4, vector_width=3)
    tokens, vector = torch.randn(2, 5, 4), torch.randn(2, 3)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2).bool()
    out = network(X, LABEL, Context(vector, None, tokens, mask))
    other = torch.cat([tokens[:, :3], torch.randn(2, 2, 4)], 1)
    torch.testing.assert_close(network(X, LABEL, Context(vector, None, other, mask)), out)
    short = Context(vector, None, tokens[:, :3], mask[:, :3])
    torch.testing.assert_close(network(X, LABEL, short), out)
    # The order of what is shown counts.
    turned = Context(vector, None, tokens[:, :3].flip(1), mask[:, :3])
    assert (network(X, LABEL, turned) - out).norm() > 1e-2 * out.norm()


@torch.no_grad()
def test_a_null_after_hidden_tokens_is_the_null_alone() -> None:
    """Training hides text by a mask, sampling leaves it away: the same to the network."""
    network = built(token_width=8, vector_width=16)
    keep = torch.tensor([True, False])
    values = {"text": torch.randn(2, 5, 4), "summary": torch.randn(2, 3)}
    mixed = network(X, LABEL, conditioned(keep, **values))
    torch.testing.assert_close(mixed[:1], network(X, LABEL, conditioned(**values))[:1])
    torch.testing.assert_close(mixed[1:], network(X, LABEL, conditioned())[1:])
    assert (network(X, LABEL, conditioned()) - mixed)[0].norm() > 1e-2


@torch.no_grad()
def test_it_is_causal() -> None:
    """What stands before the last token is not changed by it: only the answer knows x."""
    network = built(token_width=4, vector_width=3)
    seen: list[Tensor] = []
    network.blocks[-1].register_forward_hook(lambda _, __, out: seen.append(out))
    context = Context(torch.randn(2, 3), None, torch.randn(2, 5, 4), None)
    network(X, LABEL, context)
    network(X + 1, LABEL, context)
    before, after = seen
    assert before.shape == (2, 9, 16)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] - after[:, 7:]).abs().amin(2).max() > 0


@torch.no_grad()
def test_it_does_without_text_or_vector() -> None:
    for options in ({}, {"token_width": 4}, {"vector_width": 3}):
        context = Context(
            torch.randn(2, 3) if "vector_width" in options else None,
            tokens=torch.randn(2, 4, 4) if "token_width" in options else None,
        )
        assert built(**options)(X, LABEL, context).std() > 0.1


def test_what_it_cannot_be_is_refused() -> None:
    for options, message in (
        ({"dims": 1}, "has dims 0"),
        ({"heads": 3}, "3 heads"),
        ({"depth": 0}, "at least 1"),
        ({"spatial_channels": 1}, "no image"),
    ):
        with pytest.raises(InputError, match=message):
            built(**options)
    with pytest.raises(InputError, match="up to 5 tokens"):
        built(token_width=4)(X, LABEL, Context(tokens=torch.randn(2, 7, 4)))
    with pytest.raises(InputError, match="axes"):
        built()(torch.randn(2, 6, 4), LABEL)
