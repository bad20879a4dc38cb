r"""Names of tensors and configurations of diffusers' ``UNet2DModel``, and those of ``UNet`` for
them. ``unfog.interop.diffusers`` translates weights with these.
"""

from __future__ import annotations

import re
from typing import Any

from unfog.errors import InputError
from unfog.interop.diffusers_common import Config, check_fixed, check_known
from unfog.networks.layers.attention import SelfAttention
from unfog.networks.layers.blocks import AddBlock, DownsampleBlock, ScaleShiftBlock
from unfog.networks.layers.spatial_transformer import SpatialTransformer
from unfog.networks.unet import UNet

_MODULATIONS = {"default": "add", "scale_shift": "scale-shift"}

# What diffusers assumes where a configuration is silent.
DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "downsample_padding": 1,
    "dropout": 0.0,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "num_class_embeds": None,
}

# Settings that the U-Net has in one form only.
_FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "time_embedding_dim": (None,),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "num_train_timesteps": (None,),
}

# Our names to theirs, applied in order.
_NAMES = [
    (r"^embedding\.hidden\.", "time_embedding.linear_1."),
    (r"^embedding\.out\.", "time_embedding.linear_2."),
    (r"^vector\.", "class_embedding."),
    (r"^enter\.", "conv_in."),
    (r"^norm\.", "conv_norm_out."),
    (r"^leave\.", "conv_out."),
    (r"^middle\.(\d)\.block\.", r"mid_block.resnets.\1."),
    (r"^middle\.0\.attentions\.0\.", "mid_block.attentions.0."),
    (r"^(down|up)\.(\d+)\.(down|up)\.", r"\1_blocks.\2.\3samplers.0."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.block\.", r"\1_blocks.\2.resnets.\3."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.attentions\.0\.", r"\1_blocks.\2.attentions.\3."),
    (r"\.project\.", ".time_emb_proj."),
    (r"\.skip\.", ".conv_shortcut."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.\d+)\.out\.", r"\1.to_out.0."),
]

# Names that older checkpoints use for the attention's matrices.
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def their_names(key: str) -> list[str]:
    """The names in diffusers of one of our tensors: one, or three for queries, keys and values."""
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return [key.replace(".qkv.", f".to_{part}.") for part in "qkv"] if ".qkv." in key else [key]


def modern_name(key: str) -> str:
    """The name of one of diffusers' tensors, with old names of the attention's matrices
    replaced.
    """
    return re.sub(
        r"(attentions\.\d+)\.(query|key|value|proj_attn)\.", lambda m: f"{m[1]}.{_OLD[m[2]]}.", key
    )


def unet_options(config: Config) -> dict[str, Any]:
    """The arguments of ``UNet`` that a configuration of ``UNet2DModel`` asks for; `InputError`
    where it asks for what ``UNet`` has not.
    """
    check_fixed("U-Net", _FIXED, config)
    check_known("U-Net", {*DEFAULTS, *_FIXED}, config)
    c = {**DEFAULTS, **config}
    widths, attentive = (
        list(c["block_out_channels"]),
        ["Attn" in name for name in c["down_block_types"]],
    )
    _check_levels(c, widths, attentive)
    _check_normalisation(c)
    return {
        "in_channels": c["in_channels"],
        "out_channels": c["out_channels"],
        "channels": widths[0],
        "multipliers": tuple(width // widths[0] for width in widths),
        "blocks": c["layers_per_block"],
        "attention_levels": tuple(i for i, a in enumerate(attentive) if a),
        "middle_attention": c["add_attention"],
        "head_dim": c["attention_head_dim"],
        "groups": c["norm_num_groups"],
        "dropout": c["dropout"],
        "modulation": _MODULATIONS[c["resnet_time_scale_shift"]],
        "vector_width": c["num_class_embeds"],
        "downsample_padding": c["downsample_padding"],
        "norm_eps": c["norm_eps"],
        "embedding_shift": c["freq_shift"],
    }


def _check_levels(c: Config, widths: list[int], attentive: list[bool]) -> None:
    """InputError unless the levels have widths and kinds of blocks that ``UNet`` can have."""
    if any(width % widths[0] for width in widths):
        raise InputError(f"block_out_channels must be multiples of the first, got {widths}.")
    expected = {True: ("AttnDownBlock2D", "AttnUpBlock2D"), False: ("DownBlock2D", "UpBlock2D")}
    if [expected[a] for a in attentive] != list(
        zip(c["down_block_types"], reversed(c["up_block_types"]), strict=False)
    ):
        raise InputError(
            "down_block_types must be DownBlock2D or AttnDownBlock2D, and up_block_types the "
            "same levels mirrored."
        )


def _check_normalisation(c: Config) -> None:
    """InputError unless modulation and group norms are of a kind that ``UNet`` has."""
    if c["resnet_time_scale_shift"] not in _MODULATIONS:
        raise InputError(
            f"resnet_time_scale_shift must be one of {', '.join(_MODULATIONS)}, got "
            f"{c['resnet_time_scale_shift']!r}."
        )
    # diffusers leaves the norm of the middle attention out when the modulation is scale_shift and
    # no groups are named for it.
    norm = c["attn_norm_num_groups"] or (
        c["norm_num_groups"] if c["resnet_time_scale_shift"] == "default" else None
    )
    if c["add_attention"] and norm != c["norm_num_groups"]:
        raise InputError(
            f"attn_norm_num_groups must equal norm_num_groups, {c['norm_num_groups']}, got "
            f"{c['attn_norm_num_groups']}."
        )


def diffusers_config(unet: UNet) -> dict[str, Any]:
    """The configuration of the ``UNet2DModel`` that computes what ``unet`` computes; `InputError`
    for a U-Net that it cannot be.
    """
    more = unet.patch != 1 or unet.coordinates or unet.shortcut is not None
    more = more or unet.picture_shortcut is not None
    more = more or len(unet.shrink) > 0 or unet.skip_scale != 1 or unet.input.detail is not None
    more = more or any(isinstance(m, DownsampleBlock) for m in unet.modules())
    more = more or len({len(level.stages) for level in unet.down}) > 1
    more = more or any(isinstance(m, SpatialTransformer) for m in unet.modules())
    if unet.dims != 2 or more or unet.token_width is not None:
        raise InputError(
            "diffusers' UNet2DModel has two dimensions, as many blocks at every level, and neither "
            "patches, coordinates, detail, tokens, transformers, halvings, resampling blocks, "
            "scaled skips nor a shortcut; this U-Net cannot be written so."
        )
    net: Any = unet
    # The first block of each level tells its width, kind and attention.
    blocks = [level.stages[0].block for level in net.down]
    attentive = ["Attn" if len(level.stages[0].attentions) else "" for level in net.down]
    modulation = {AddBlock: "default", ScaleShiftBlock: "scale_shift"}[type(blocks[0])]
    # The width of a head; None where attention has one head.
    heads = {
        m.norm.num_channels // m.heads
        for m in unet.modules()
        if isinstance(m, SelfAttention) and m.heads > 1
    }
    return {
        "_class_name": "UNet2DModel",
        "in_channels": net.enter.in_channels,
        "out_channels": net.leave.out_channels,
        "freq_shift": net.embedding.shift,
        "flip_sin_to_cos": False,
        "down_block_types": [f"{a}DownBlock2D" for a in attentive],
        "up_block_types": [f"{a}UpBlock2D" for a in reversed(attentive)],
        "block_out_channels": [block.conv1.out_channels for block in blocks],
        "layers_per_block": len(net.down[0].stages),
        "downsample_padding": 1 if net.down[0].down is None else net.down[0].down.conv.padding[0],
        "dropout": blocks[0].dropout.p,
        "attention_head_dim": heads.pop() if heads else None,
        "norm_num_groups": net.norm.num_groups,
        "attn_norm_num_groups": net.norm.num_groups,
        "norm_eps": net.norm.eps,
        "resnet_time_scale_shift": modulation,
        "add_attention": len(net.middle[0].attentions) > 0,
        "num_class_embeds": unet.vector_width,
    }
