"""U-Nets to and from diffusers' ``UNet2DConditionModel`` as Stable Diffusion 1.x, 2.x and XL
configure it (Rombach et al. 2022; Podell et al. 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditions import VectorCondition
from unfog.errors import InputError
from unfog.interop.diffusers_common import DIFFUSERS, Config, check_fixed, check_known, given
from unfog.interop.diffusers_names import their_names
from unfog.interop.key_map import fill, taken
from unfog.interop.ldm_unet import VECTOR as LDM_VECTOR
from unfog.interop.ldm_unet import ldm_names
from unfog.interop.transformer_names import cosines_first, with_transformers
from unfog.interop.vector_map import SIZES_WIDTH, add_as_it_is, take_vector, vector_tensors
from unfog.networks.transformer_unet import TransformerUNet

CLASS = "UNet2DConditionModel"
VECTOR = ("add_embedding.linear_1", "add_embedding.linear_2")
KINDS = {True: ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), False: ("DownBlock2D", "UpBlock2D")}
# What diffusers assumes where a configuration is silent.
DEFAULTS: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "freq_shift": 0,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "downsample_padding": 1,
    "dropout": 0.0,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "attention_head_dim": 8,
    "use_linear_projection": False,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "projection_class_embeddings_input_dim": None,
}
# Settings that are read in one form only, or that change no number here.
FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "flip_sin_to_cos": (True,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (False,),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "resnet_time_scale_shift": ("default",),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1.0,),
    "time_embedding_type": ("positional",),
    "addition_embed_type_num_heads": (64,),
    "attention_type": ("default",),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "dual_cross_attention": (False,),
    "class_embeddings_concat": (False,),
    "cross_attention_norm": (None,),
    "upcast_attention": (False, True, None),
    **dict.fromkeys(
        (
            *("encoder_hid_dim", "encoder_hid_dim_type", "num_attention_heads"),
            *("class_embed_type", "num_class_embeds", "time_embedding_dim"),
            *("time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim"),
            *("mid_block_only_cross_attention", "reverse_transformer_layers_per_block"),
        ),
        (None,),
    ),
}
_theirs = with_transformers(their_names, "to_out.0")


def conditional_from_diffusers(
    weights: Mapping[str, Tensor] | nn.Module, config: Config | None = None
) -> tuple[TransformerUNet, VectorCondition | None, dict[str, Any]]:
    """A U-Net with the weights of a ``UNet2DConditionModel``, whose ``encoder_hidden_states`` are
    ``Context.tokens``.

    Args:
        weights: The model itself, or its state dictionary.
        config: Its configuration, the contents of config.json; read off the model if that is given.

    Returns:
        The U-Net; the condition of its vector, of XL (`unfog.interop.vector_map.text_and_sizes`),
        or None; and the U-Net's arguments, the vector's width among them.

    Raises:
        InputError: The configuration asks for what the U-Net has not, or a tensor is missing,
            superfluous or misshapen.
    """
    source, config = given(weights, config)
    options = conditional_options(config)
    with torch.device("meta"):
        unet = TransformerUNet(**options)
    size, vector = _vector_size(config), None
    if size is not None:
        vector = take_vector(source, VECTOR, size, unet.embedding_width, DIFFUSERS)
    fill(unet, source, _theirs, cosines_first(True), DIFFUSERS)
    if vector is not None:
        add_as_it_is(unet)
    return unet, vector, {**options, "vector_width": unet.vector_width}


def conditional_to_diffusers(
    unet: TransformerUNet, vector: VectorCondition | None = None, linear: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary and configuration of the ``UNet2DConditionModel`` that computes what a
    U-Net computes.

    Args:
        unet: The network.
        vector: The condition of its vector; None without one.
        linear: Whether transformers begin and end with matrices, as in 2.x and XL, not with
            convolutions of one point, as in 1.x.

    Returns:
        Tensors by name, and the configuration.

    Raises:
        InputError: It has several numbers of blocks, other middle layers than its last
            transformer's, or no tokens.
    """
    config = _config(unet, vector, linear)
    state = taken(unet, _theirs, cosines_first(False, linear))
    state.pop("class_embedding.weight", None)
    return {**state, **vector_tensors(unet, vector, VECTOR)}, config


def conditional_options(config: Config) -> dict[str, Any]:
    """The arguments of ``TransformerUNet``, but for the vector's, that a configuration asks for;
    ``InputError`` where it asks for what that has not.
    """
    check_fixed("conditional U-Net", FIXED, config)
    check_known("conditional U-Net", {*DEFAULTS, *FIXED}, config)
    c = {**DEFAULTS, **{key: value for key, value in config.items() if value is not None}}
    widths = list(c["block_out_channels"])
    if any(width % widths[0] for width in widths):
        raise InputError(f"block_out_channels must be multiples of the first, got {widths}.")
    types = list(zip(c["down_block_types"], reversed(c["up_block_types"]), strict=False))
    if len(types) != len(widths) or not set(types) <= set(KINDS.values()):
        raise InputError(
            "down_block_types must be DownBlock2D or CrossAttnDownBlock2D, one a level, and "
            "up_block_types the same levels mirrored."
        )
    layers = _each(c, "transformer_layers_per_block", len(widths))
    return {
        "in_channels": c["in_channels"],
        "out_channels": c["out_channels"],
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": _number(c, "layers_per_block"),
        "depths": [n * (kind == KINDS[True]) for n, kind in zip(layers, types, strict=True)],
        "middle_depth": layers[-1],
        # diffusers calls the number of heads attention_head_dim.
        "heads": _each(c, "attention_head_dim", len(widths)),
        "groups": c["norm_num_groups"],
        "dropout": c["dropout"],
        "token_width": _number(c, "cross_attention_dim"),
        "downsample_padding": c["downsample_padding"],
        "norm_eps": c["norm_eps"],
        "embedding_shift": float(c["freq_shift"]),
    }


def single_file_names(config: Config) -> dict[str, str]:
    """The names of a configuration's tensors in latent diffusion's code, which single files and
    some LoRAs have, to those in diffusers.
    """
    with torch.device("meta"):
        unet = TransformerUNet(**conditional_options(config))
    former = ldm_names(unet)
    pairs = [zip(former(key), _theirs(key), strict=True) for key in unet.state_dict()]
    named = {ldm: theirs for both in pairs for ldm, theirs in both}
    ends = [(f"{ldm}.weight", f"{own}.weight") for ldm, own in zip(LDM_VECTOR, VECTOR, strict=True)]
    return {**named, **dict(ends)}


def attention_pieces(unet: TransformerUNet) -> dict[str, list[str]]:
    """The matrices of a U-Net's attention by our names, and the names in diffusers, without
    ``.weight``, of what each is made of.
    """
    return {
        key: [name.removesuffix(".weight") for name in _theirs(key)]
        for key in unet.state_dict()
        if re.search(r"\.attn[12]\.to_(q|k|v|out\.0)\.weight$", _theirs(key)[0])
    }


def _each(c: Config, name: str, count: int) -> list[int]:
    """A setting as one number a level."""
    value = c[name]
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count or not all(isinstance(v, int) for v in values):
        raise InputError(f"{name} is one number, or one a level, not {value!r}.")
    return values


def _number(c: Config, name: str) -> int:
    """A setting that is the same number at all levels."""
    value = c[name]
    values = {value} if isinstance(value, int) else set(value)
    if len(values) != 1:
        raise InputError(f"{name} is one number at all levels here, not {value!r}.")
    return int(values.pop())


def _vector_size(config: Config) -> int | None:
    """The numbers of the vector of text and sizes that XL adds; None without one, and
    ``InputError`` for another kind.
    """
    kind, wave = config.get("addition_embed_type"), config.get("addition_time_embed_dim")
    size = config.get("projection_class_embeddings_input_dim")
    if kind is None:
        return None
    if kind != "text_time" or wave != SIZES_WIDTH or not isinstance(size, int):
        raise InputError(
            f"A diffusers conditional U-Net with addition_embed_type = {kind!r}, "
            f"addition_time_embed_dim = {wave!r} and projection_class_embeddings_input_dim = "
            f"{size!r} cannot be read; they must be 'text_time', {SIZES_WIDTH} and a number."
        )
    return size


def _config(unet: TransformerUNet, vector: VectorCondition | None, linear: bool) -> dict[str, Any]:
    """The configuration of the ``UNet2DConditionModel`` that computes what ``unet`` computes."""
    net: Any = unet
    blocks = {len(level.stages) for level in net.down}
    # Layers of a level without transformers say nothing; the bottom has those of the last.
    layers = [depth or unet.middle_depth for depth in unet.depths]
    fits = unet.token_width is not None and unet.middle_depth and len(blocks) == 1
    fits = fits and layers[-1] == unet.middle_depth and unet.dims == 2
    if not fits or unet.spatial_channels or (unet.vector is None) != (vector is None):
        raise InputError(
            "diffusers' UNet2DConditionModel has two dimensions, tokens, as many blocks at every "
            "level and at the bottom the layers of the last level; this U-Net cannot be written so."
        )
    first = net.down[0].stages[0].block
    kinds = [KINDS[depth > 0] for depth in unet.depths]
    config = {
        "_class_name": CLASS,
        "in_channels": net.enter.in_channels,
        "out_channels": net.leave.out_channels,
        "freq_shift": int(net.embedding.shift),
        "flip_sin_to_cos": True,
        "down_block_types": [down for down, _ in kinds],
        "up_block_types": [up for _, up in reversed(kinds)],
        "block_out_channels": [level.stages[0].block.conv1.out_channels for level in net.down],
        "layers_per_block": blocks.pop(),
        "downsample_padding": 1 if net.down[0].down is None else net.down[0].down.conv.padding[0],
        "dropout": first.dropout.p,
        "norm_num_groups": net.norm.num_groups,
        "norm_eps": net.norm.eps,
        "cross_attention_dim": unet.token_width,
        "transformer_layers_per_block": layers,
        "attention_head_dim": unet.heads,
        "use_linear_projection": linear,
    }
    if vector is not None:
        config["addition_embed_type"] = "text_time"
        config["addition_time_embed_dim"] = SIZES_WIDTH
        config["projection_class_embeddings_input_dim"] = vector.project[0].in_features
    return config
