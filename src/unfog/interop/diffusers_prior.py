r"""Priors to and from diffusers' ``PriorTransformer`` (Ramesh et al. 2022): one architecture under
two sets of names.

Besides names: queries, keys and values are three matrices there and one here; the label's sinusoids
come cosines first there; and mean and deviation of the embeddings are tensors of the model there,
and here the codec ``standard``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.codec import Standard
from unfog.errors import InputError
from unfog.interop.diffusers_common import (
    Config,
    check_all_taken,
    check_fixed,
    given,
    model_folder,
    read_folder,
    shaped,
    take,
    write_folder,
)
from unfog.networks.prior_transformer import PriorTransformer

# What diffusers assumes where a configuration is silent.
DEFAULTS: dict[str, Any] = {
    "num_attention_heads": 32,
    "attention_head_dim": 64,
    "num_layers": 20,
    "embedding_dim": 768,
    "num_embeddings": 77,
    "additional_embeddings": 4,
    "embedding_proj_dim": None,
    "clip_embed_dim": None,
}
# Settings that the prior has in one form only.
_FIXED: dict[str, tuple[Any, ...]] = {
    "additional_embeddings": (4,),
    "dropout": (0.0,),
    "time_embed_act_fn": ("silu",),
    "norm_in_type": (None,),
    "embedding_proj_norm_type": (None,),
    "encoder_hid_proj_type": ("linear",),
    "added_emb_type": ("prd",),
    "time_embed_dim": (None,),
}
# Our names to theirs, applied in order.
_NAMES = [
    (r"^embedding\.hidden\.", "time_embedding.linear_1."),
    (r"^embedding\.out\.", "time_embedding.linear_2."),
    (r"^enter\.", "proj_in."),
    (r"^text\.", "encoder_hidden_states_proj."),
    (r"^vector\.", "embedding_proj."),
    (r"^places$", "positional_embedding"),
    (r"^query$", "prd_embedding"),
    (r"^norm\.", "norm_out."),
    (r"^leave\.", "proj_to_clip_embeddings."),
    (r"^blocks\.", "transformer_blocks."),
    (r"\.norm2\.", ".norm3."),
    (r"\.attention\.out\.", ".attn1.to_out.0."),
    (r"\.attention\.", ".attn1."),
    (r"\.mlp\.0\.", ".ff.net.0.proj."),
    (r"\.mlp\.2\.", ".ff.net.2."),
]
_MEAN, _STD = "clip_mean", "clip_std"


def prior_from_diffusers(
    weights: Mapping[str, Tensor] | nn.Module, config: Config | None = None
) -> tuple[PriorTransformer, Standard]:
    """A prior with the weights of a ``PriorTransformer``, and the codec of its embeddings.

    Args:
        weights: The model itself, or its state dictionary.
        config: Its configuration, the contents of config.json; read off the model if that is given.

    Raises:
        InputError: The configuration asks for what the prior has not, or a tensor is missing,
            superfluous or misshapen.
    """
    state, config = given(weights, config)
    check_fixed("PriorTransformer", _FIXED, config)
    c = {**DEFAULTS, **config}
    size = c["embedding_dim"]
    if c["clip_embed_dim"] not in (None, size):
        raise InputError(
            f"A diffusers PriorTransformer whose output has {c['clip_embed_dim']} numbers and its "
            f"input {size} is no denoiser."
        )
    with torch.device("meta"):
        prior = PriorTransformer(
            size,
            size,
            depth=c["num_layers"],
            width=c["num_attention_heads"] * c["attention_head_dim"],
            heads=c["num_attention_heads"],
            length=c["num_embeddings"],
            vector_width=c["embedding_proj_dim"] or size,
            token_width=size,
        )
    source, ours = dict(state), {}
    for key, like in prior.state_dict().items():
        names = _their_names(key)
        value = _turned(key, take(source, names), 1)
        ours[key] = shaped(value, like.shape, names[0])
    prior.load_state_dict(ours, assign=True)
    mean, std = (
        shaped(take(source, [name]), (size,), name).float().tolist() for name in (_MEAN, _STD)
    )
    check_all_taken(source)
    return prior, Standard(mean, std)


def prior_to_diffusers(
    prior: PriorTransformer, codec: Standard
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary and configuration of the ``PriorTransformer`` that computes what
    ``prior`` does on vectors that ``codec`` has encoded; ``InputError`` where none does.
    """
    config = _diffusers_config(prior)
    state: dict[str, Tensor] = {}
    for key, value in prior.state_dict().items():
        names = _their_names(key)
        state.update(zip(names, _turned(key, value, -1).chunk(len(names)), strict=True))
    state["positional_embedding"] = state["positional_embedding"][None]
    state["prd_embedding"] = state["prd_embedding"].view(1, 1, -1)
    numbers = torch.ones(config["embedding_dim"])
    state[_MEAN], state[_STD] = (torch.tensor(v) * numbers[None] for v in (codec.mean, codec.std))
    return {name: value.contiguous() for name, value in state.items()}, config


def load_diffusers_prior(path: str | Path) -> tuple[PriorTransformer, Standard]:
    """The prior and codec of a diffusers folder: a model's own, or a pipeline's with the model in
    ``prior``.
    """
    folder = model_folder(path, "prior")
    state, config = read_folder(folder)
    try:
        return prior_from_diffusers(state, config)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def save_diffusers_prior(prior: PriorTransformer, codec: Standard, path: str | Path) -> None:
    """Write a prior as a diffusers model folder: config.json and its weights; arguments and errors
    as of `prior_to_diffusers`.
    """
    write_folder(path, *prior_to_diffusers(prior, codec))


def _their_names(key: str) -> list[str]:
    """The names in diffusers of one of our tensors: one, or three for queries, keys and values."""
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return [key.replace(".qkv.", f".to_{part}.") for part in "qkv"] if ".qkv." in key else [key]


def _turned(key: str, value: Tensor, sign: int) -> Tensor:
    """The weights of the label's sinusoids with sines before cosines, and the other way round."""
    if key == "embedding.hidden.weight":
        return value.roll(sign * (value.shape[1] // 2), 1)
    return value


def _diffusers_config(prior: PriorTransformer) -> dict[str, Any]:
    """The configuration of the ``PriorTransformer`` that computes what ``prior`` computes."""
    block, size = prior.blocks[0], prior.enter.in_features
    same = (
        prior.token_width == size
        and prior.vector_width is not None
        and prior.leave.out_features == size
        and block.mlp[0].out_features == 4 * prior.width
    )
    if not same:
        raise InputError(
            "diffusers' PriorTransformer has tokens as wide as its embeddings, a vector, an "
            "mlp_ratio of 4 and as many numbers out as in; this prior cannot be written so."
        )
    return {
        "_class_name": "PriorTransformer",
        "num_attention_heads": block.attention.heads,
        "attention_head_dim": prior.width // block.attention.heads,
        "num_layers": len(prior.blocks),
        "embedding_dim": size,
        "num_embeddings": prior.length,
        "additional_embeddings": 4,
        "embedding_proj_dim": prior.vector_width,
    }
