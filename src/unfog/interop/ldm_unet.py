"""U-Nets in the single files of latent diffusion's code: Stable Diffusion 1.x, 2.x and XL
(Rombach et al. 2022; Podell et al. 2023), ``model.diffusion_model.input_blocks...``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unfog.core.conditions import VectorCondition
from unfog.errors import InputError
from unfog.interop.key_map import Names, fill, taken
from unfog.interop.openai_unet import openai_names, openai_options
from unfog.interop.transformer_names import cosines_first, with_transformers
from unfog.interop.vector_map import add_as_it_is, take_vector, vector_tensors
from unfog.networks.transformer_unet import TransformerUNet

PREFIX, WHAT = "model.diffusion_model.", "weights of a U-Net of latent diffusion"
VECTOR = ("label_emb.0.0", "label_emb.0.2")
HEADS, HEAD_DIM, GROUPS = 8, 64, 32  # which no tensor says


def unet_from_ldm(
    weights: Mapping[str, Tensor], head_dim: int | None = None, groups: int = GROUPS
) -> tuple[TransformerUNet, VectorCondition | None, dict[str, Any]]:
    """A U-Net with the weights of a single file, or of the U-Net in one.

    Args:
        weights: Tensors by name; where some begin with ``model.diffusion_model.`` the others are
            left.
        head_dim: Channels of an attention head, which no tensor says; None for those that are
            published: 8 heads where transformers begin with a convolution (1.x), else heads of 64
            channels (2.x, XL).
        groups: Groups of the normalisation: 32 in all that are published.

    Returns:
        The U-Net; the condition of its vector, of XL (`unfog.interop.vector_map.text_and_sizes`),
        or None; and the U-Net's arguments, the vector's width among them.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    own = {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}
    source = own or dict(weights)
    options = {**_options(source, head_dim), "groups": groups}
    with torch.device("meta"):
        unet = TransformerUNet(**options)
    first, vector = source.get(f"{VECTOR[0]}.weight"), None
    if first is not None:
        size = first.shape[-1] if first.ndim == 2 else 1
        vector = take_vector(source, VECTOR, size, unet.embedding_width, WHAT)
    fill(unet, source, ldm_names(unet), cosines_first(True), WHAT)
    if vector is not None:
        add_as_it_is(unet)
    return unet, vector, {**options, "vector_width": unet.vector_width}


def unet_to_ldm(
    unet: TransformerUNet, vector: VectorCondition | None = None, linear: bool = True
) -> dict[str, Tensor]:
    """The tensors of the U-Net in a single file, with its prefix: the inverse of `unet_from_ldm`.

    Args:
        unet: The network, with as many blocks at every level.
        vector: The condition of its vector; None without one.
        linear: As of `unfog.interop.diffusers_conditional.conditional_to_diffusers`.

    Returns:
        Tensors by name.
    """
    state = taken(unet, ldm_names(unet), cosines_first(False, linear))
    state.pop("label_emb.weight", None)
    state |= vector_tensors(unet, vector, VECTOR)
    return {PREFIX + name: value for name, value in state.items()}


def ldm_names(unet: TransformerUNet) -> Names:
    """Our names of a U-Net's tensors to theirs."""
    return with_transformers(openai_names(unet), "proj_out")


def _options(weights: Mapping[str, Tensor], head_dim: int | None) -> dict[str, Any]:
    """The arguments of ``TransformerUNet`` that the tensors say."""
    shared = openai_options(weights)
    drop = ("attention_levels", "middle_attention", "resampling_blocks", "vector_width")
    options = {key: value for key, value in shared.items() if key not in drop}
    widths = [options["channels"] * m for m in options["multipliers"]]
    starts = [1 + level * (options["blocks"] + 1) for level in range(len(widths))]
    token = next((v for k, v in weights.items() if k.endswith(".attn2.to_k.weight")), None)
    inner = next((v for k, v in weights.items() if k.endswith(".1.proj_in.weight")), None)
    if token is None or inner is None or shared["resampling_blocks"]:
        raise InputError(
            f"The {WHAT} have no transformers with attn2.to_k.weight; --format openai reads U-Nets "
            "without."
        )
    size = head_dim or (HEAD_DIM if inner.ndim == 2 else None)
    if size is not None and (size < 1 or any(width % size for width in widths)):
        raise InputError(
            f"Levels of {widths} channels do not divide into heads of {size}; give another "
            "network.head_dim."
        )
    return {
        **options,
        "depths": [_depth(weights, f"input_blocks.{start}.1.") for start in starts],
        "middle_depth": _depth(weights, "middle_block.1."),
        "heads": HEADS if size is None else [width // size for width in widths],
        "token_width": token.shape[1],
    }


def _depth(weights: Mapping[str, Tensor], place: str) -> int:
    """The layers of the transformer at a place; 0 where there is none."""
    first = f"{place}transformer_blocks."
    return len({k.removeprefix(first).split(".")[0] for k in weights if k.startswith(first)})
