"""DynamiCrafter's network and query transformer: what moves the output, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.randomise import randomised
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks import networks
from unfog.video.dynamicrafter.network import DynamiCrafter
from unfog.video.dynamicrafter.query_transformer import QueryTransformer

FRAMES, SIDE, WIDTH = 4, 8, 64
SIZES: dict[str, Any] = {
    "channels": 16,
    "multipliers": [1, 2],
    "blocks": 1,
    "attention_levels": [1],
    "head_dim": 8,
    "entry_heads": 2,
    "groups": 4,
}
CONTEXT: dict[str, Any] = {
    "vector_width": WIDTH,
    "spatial_channels": 3,
    "token_width": 6,
    "decoupled_width": 5,
}


def built(**options: Any) -> DynamiCrafter:
    return randomised(DynamiCrafter(3, 3, **{**SIZES, **CONTEXT, **options}))


def drawn(batch: int = 2, seed: int = 1) -> tuple[Tensor, Tensor, Context]:
    g = torch.Generator().manual_seed(seed)
    x, known = torch.randn(2, batch, 3, FRAMES, SIDE, SIDE, generator=g).unbind()
    vector, text = torch.randn(batch, WIDTH, generator=g), torch.randn(batch, 7, 6, generator=g)
    image = torch.randn(batch, FRAMES * 2, 5, generator=g)
    mask = torch.ones(batch, 7, dtype=torch.bool)
    return x, torch.linspace(20, 900, batch), Context(vector, known, text, mask, image)


def changed(context: Context, **fields: Tensor) -> Context:
    return Context(**{**vars(context), **fields})


def test_it_is_named_and_starts_as_the_zero_function() -> None:
    network = networks.build({"name": "dynamicrafter", **SIZES}, in_channels=3, out_channels=3)
    x = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    assert network(x, torch.tensor([3.0, 600.0])).shape == x.shape
    assert not network(x, torch.tensor([3.0, 600.0])).any()


@torch.no_grad()
def test_each_stream_moves_the_output_and_differently() -> None:
    network, (x, label, context) = built(), drawn()
    out = network(x, label, context)
    assert out.std() > 0.1
    _, _, other = drawn(seed=2)
    moves = {
        name: network(x, label, changed(context, **{name: getattr(other, name)})) - out
        for name in ("vector", "spatial", "tokens", "decoupled")
    }
    sizes = {name: float(move.norm() / out.norm()) for name, move in moves.items()}
    assert min(sizes.values()) > 0.01, sizes
    units = [move.flatten() / move.norm() for move in moves.values()]
    cosines = torch.stack(units) @ torch.stack(units).T
    assert float((cosines - torch.eye(4)).abs().max()) < 0.9


@torch.no_grad()
def test_each_frame_has_tokens_of_its_own() -> None:
    """Tokens within a frame are a set; those of frames are not to be exchanged, nor are frames."""
    network, (x, label, context) = built(), drawn()
    out, image = network(x, label, context), context.decoupled
    assert image is not None
    frames = image.view(2, FRAMES, 2, 5)
    within = changed(context, decoupled=frames.flip(2).reshape(image.shape))
    across = changed(context, decoupled=frames.roll(1, 1).reshape(image.shape))
    assert torch.allclose(network(x, label, within), out, atol=1e-5)
    assert not torch.allclose(network(x, label, across), out, atol=1e-2)
    assert not torch.allclose(network(x.flip(2), label, context).flip(2), out, atol=1e-2)


@torch.no_grad()
def test_hidden_tokens_change_nothing_and_a_sample_is_the_same_in_any_batch() -> None:
    network, (x, label, context) = built(), drawn()
    assert context.tokens is not None
    mask = torch.arange(7).expand(2, 7) < 4
    hidden = changed(context, token_mask=mask)
    noise = torch.where(mask[..., None], context.tokens, torch.randn(2, 7, 6))
    out = network(x, label, hidden)
    assert torch.allclose(out, network(x, label, changed(hidden, tokens=noise)), atol=1e-6)
    alone = Context(**{name: value[1:] for name, value in vars(hidden).items()})
    assert torch.allclose(network(x[1:], label[1:], alone), out[1:], atol=1e-5)


@torch.no_grad()
def test_without_conditions_and_at_odd_sizes() -> None:
    network = randomised(DynamiCrafter(3, 3, **SIZES))
    x = torch.randn(1, 3, 5, 7, 9)
    assert network(x, torch.tensor([3.0])).shape == x.shape
    maps = network.features(x, torch.tensor([3.0]))
    assert [m.shape[1] for m in maps] == network.feature_channels
    assert all(m.shape[2] == 5 for m in maps)


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for on in (False, True):
        network, (x, label, context) = built(checkpointing=on), drawn()
        network(x, label, context).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert a is not None
        assert b is not None
        assert torch.allclose(a, b, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    network, (x, label, context) = built(), drawn()
    assert context.decoupled is not None
    with pytest.raises(InputError, match="tokens of a picture are not those of 4 frames"):
        network(x, label, changed(context, decoupled=context.decoupled[:, :-1]))
    with pytest.raises(InputError, match="whose decoupled has size 5, and was given None"):
        network(x, label, Context(context.vector, context.spatial, context.tokens))
    with pytest.raises(InputError, match="heads of 7"):
        built(head_dim=7)
    with pytest.raises(InputError, match="vector_width"):
        built(vector_width=16)
    with pytest.raises(InputError, match="attention_levels"):
        built(attention_levels=[2])
    with pytest.raises(InputError, match="dims 3"):
        built(dims=2)


def test_other_networks_refuse_decoupled_tokens() -> None:
    unet = networks.build({"name": "unet", "channels": 32}, in_channels=1, out_channels=1)
    with pytest.raises(InputError, match="decoupled"):
        unet(torch.zeros(1, 1, 8, 8), torch.zeros(1), Context(decoupled=torch.zeros(1, 2, 3)))


@torch.no_grad()
def test_queries_see_a_set_of_tokens_and_themselves() -> None:
    queries = randomised(
        QueryTransformer(6, 5, width=16, depth=2, heads=2, head_dim=8, queries=2, frames=FRAMES)
    )
    tokens = torch.randn(2, 9, 6)
    out = queries(tokens)
    assert out.shape == (2, FRAMES * 2, 5)
    assert torch.allclose(queries(tokens.flip(1)), out, atol=1e-5)
    assert not torch.allclose(queries(tokens[:, :8]), out, atol=1e-2)
    with pytest.raises(InputError, match="at least 1"):
        QueryTransformer(6, 5, depth=0)
