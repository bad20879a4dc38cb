"""A prior with diffusers' weights computes diffusers' numbers, and back. Every tensor is drawn
anew: positions, query, mean and deviation start as zeros there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.codec import Standard
from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.interop.diffusers_prior import (
    load_diffusers_prior,
    prior_from_diffusers,
    prior_to_diffusers,
    save_diffusers_prior,
)
from unfog.networks import PriorTransformer

SMALL: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "num_layers": 3,
    "embedding_dim": 12,
    "num_embeddings": 7,
    "embedding_proj_dim": 20,
}
LABEL = torch.tensor([3.0, 871.0, 40.0])
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6]).bool()


def randomise(network: nn.Module) -> None:
    """Every tensor drawn anew; deviations stay above zero."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
        if name == "clip_std":
            tensor.abs_().add_(0.1)


def reference() -> Any:
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.PriorTransformer(**SMALL).eval()
    randomise(model)
    return model


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """x, the text's embedding and its tokens."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(s, generator=generator) for s in ((3, 12), (3, 20), (3, 7, 12)))  # type: ignore[return-value]


def theirs(model: Any, x: Tensor, vector: Tensor, tokens: Tensor, mask: Tensor = MASK) -> Tensor:
    out: Tensor = model(x, LABEL, vector, tokens, mask, return_dict=False)[0]
    return out


def ours(prior: Any, x: Tensor, vector: Tensor, tokens: Tensor, mask: Tensor = MASK) -> Tensor:
    out: Tensor = prior(x, LABEL, Context(vector=vector, tokens=tokens, token_mask=mask))
    return out


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert expected.std() > 0.1
    assert (found - expected).norm() < 1e-5 * expected.norm()


@torch.no_grad()
def test_the_same_weights_compute_the_same() -> None:
    model = reference()
    prior, codec = prior_from_diffusers(model)
    assert_same(ours(prior, *inputs()), theirs(model, *inputs()))
    # Their model decodes as the codec does.
    assert_same(codec.decode(inputs()[0]), model.post_process_latents(inputs()[0]))


@torch.no_grad()
def test_what_counts_there_counts_here() -> None:
    """Were an input lost on both sides, the outputs would still agree."""
    model = reference()
    prior, _ = prior_from_diffusers(model)
    for changed in range(3):
        given = [v + (k == changed) for k, v in enumerate(inputs())]
        assert_same(ours(prior, *given), theirs(model, *given))
        before = theirs(model, *inputs())
        assert (theirs(model, *given) - before).norm() > 1e-2 * before.norm()
    other = MASK.roll(1, 0)
    assert_same(ours(prior, *inputs(), other), theirs(model, *inputs(), other))
    assert (theirs(model, *inputs(), other) - theirs(model, *inputs())).norm() > 0.01


@torch.no_grad()
def test_there_and_back(tmp_path: Path) -> None:
    model = reference()
    state, config = prior_to_diffusers(*prior_from_diffusers(model))
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    again = type(model)(**{k: v for k, v in config.items() if not k.startswith("_")}).eval()
    again.load_state_dict(state)
    assert torch.equal(theirs(again, *inputs()), theirs(model, *inputs()))
    # Folders.
    model.save_pretrained(tmp_path / "theirs")
    prior, codec = load_diffusers_prior(tmp_path / "theirs")
    save_diffusers_prior(prior, codec, tmp_path / "pipeline" / "prior")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    back = type(model).from_pretrained(tmp_path / "pipeline" / "prior")
    assert torch.equal(theirs(back, *inputs()), theirs(model, *inputs()))


# Below, diffusers is not needed.


def own(**options: Any) -> PriorTransformer:
    defaults = {"depth": 2, "width": 16, "heads": 2, "length": 5, "vector_width": 6}
    return PriorTransformer(8, 8, **{**defaults, "token_width": 8, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_in_type": "layer"}, "norm_in_type"),
        ({"added_emb_type": None}, "added_emb_type"),
        ({"num_layers": 1}, "transformer_blocks.1"),
        ({"num_layers": 3}, "have no 'transformer_blocks.2"),
        ({"num_embeddings": 6}, "positional_embedding"),
        ({"clip_embed_dim": 4}, "no denoiser"),
    ],
)
def test_what_cannot_be_read_is_refused(change: dict[str, Any], message: str) -> None:
    state, config = prior_to_diffusers(own(), Standard(0.0, 1.0))
    with pytest.raises(InputError, match=message):
        prior_from_diffusers(state, {**config, **change})


@pytest.mark.parametrize("options", [{"token_width": 4}, {"mlp_ratio": 2}, {"vector_width": None}])
def test_what_cannot_be_written_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        prior_to_diffusers(own(**options), Standard(0.0, 1.0))
