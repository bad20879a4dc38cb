"""Rows of benchmarks/checkpoints.py: conditional U-Nets as Stable Diffusion 1.x, 2.x and XL
configure them, of diffusers, and in single files by the names that diffusers' own code converts.
"""

from __future__ import annotations

from typing import Any

import torch
from parity import Row, redrawn, row, same, store
from support.stored import inputs, text
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.core.conditions import VectorCondition
from unfog.interop.diffusers_conditional import (
    conditional_from_diffusers,
    conditional_to_diffusers,
)
from unfog.interop.ldm_unet import unet_from_ldm, unet_to_ldm
from unfog.interop.vector_map import text_and_sizes

POOLED = 10  # numbers of XL's pooled state, of 1280 in the published
_DOWN, _CROSS_DOWN = "DownBlock2D", "CrossAttnDownBlock2D"
_UP, _CROSS_UP = "UpBlock2D", "CrossAttnUpBlock2D"
_SHARED: Row = {
    "block_out_channels": [32, 64, 64],
    "norm_num_groups": 8,
    "cross_attention_dim": 12,
}
_TOP: Row = {
    **_SHARED,
    "layers_per_block": 1,
    "down_block_types": [_CROSS_DOWN, _CROSS_DOWN, _DOWN],
    "up_block_types": [_UP, _CROSS_UP, _CROSS_UP],
}
MODELS: dict[str, Row] = {
    "sd-1.x": {**_TOP, "attention_head_dim": 8},
    "sd-2.x": {**_TOP, "attention_head_dim": [2, 4, 4], "use_linear_projection": True},
    "sd-xl": {
        **_SHARED,
        "layers_per_block": 2,
        "down_block_types": [_DOWN, _CROSS_DOWN, _CROSS_DOWN],
        "up_block_types": [_CROSS_UP, _CROSS_UP, _UP],
        "attention_head_dim": [2, 4, 4],
        "use_linear_projection": True,
        "transformer_layers_per_block": [1, 2, 3],
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": POOLED + 6 * 256,
    },
}
FILE = "-single-file"
CONDITIONAL = [name + end for name in MODELS for end in ("", FILE)]


def conditional(name: str) -> Row:
    """diffusers' UNet2DConditionModel; for a single file its tensors under the names there, which
    diffusers' own conversion must read as the same model.
    """
    import diffusers

    base, single = name.removesuffix(FILE), name.endswith(FILE)
    config = MODELS[base]
    model: Any = diffusers.UNet2DConditionModel(**config)
    shapes, (x, label) = redrawn(model), inputs(4, [8, 8])
    tokens, pooled, sizes = text(12, POOLED if base == "sd-xl" else None)
    added = None if pooled is None else {"text_embeds": pooled, "time_ids": sizes}
    theirs = model(x, label, tokens, added_cond_kwargs=added).sample
    unet, vector, _ = conditional_from_diffusers(model)
    linear = "use_linear_projection" in config
    if single:
        held = unet_to_ldm(unet, vector, linear)
        unet, vector, _ = unet_from_ldm(held, 16 if linear else None, 8)
        state = _converted(held, model)
    else:
        state, _ = conditional_to_diffusers(unet, vector, linear)
        store(name, config, shapes, [8, 8], theirs)
    ours = unet.eval()(x, label, _context(tokens, pooled, sizes, vector))
    return row(name, f"diffusers {diffusers.__version__}", theirs, ours, same(state, model))


def _converted(held: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """A single file's tensors as diffusers' own code converts them."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    state: dict[str, Tensor] = convert_ldm_unet_checkpoint(dict(held), dict(model.config))
    return state


def _context(
    tokens: Tensor, pooled: Tensor | None, sizes: Tensor, vector: VectorCondition | None
) -> Context:
    """What our network is told."""
    if pooled is None or vector is None:
        return Context(tokens=tokens)
    with torch.no_grad():
        return vector.embed(text_and_sizes(pooled, sizes)).merge(Context(tokens=tokens))
