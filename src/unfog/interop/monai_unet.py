"""U-Nets to and from MONAI's ``DiffusionModelUNet`` (Pinaya et al. 2022) in two and three
dimensions: DDPM's architecture under other names.

Besides names: queries, keys and values are three matrices there; the label's sinusoids come cosines
first; a class is looked up in a table, which is what a linear map does to a one-hot vector here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.diffusers_common import check_fixed
from unfog.interop.key_map import fill, taken
from unfog.networks.layers.attention import SelfAttention
from unfog.networks.layers.blocks import AddBlock, DownsampleBlock
from unfog.networks.layers.spatial_transformer import SpatialTransformer
from unfog.networks.unet import UNet

WHAT = "MONAI weights"
# What MONAI assumes where a configuration is silent; the rest is read off the tensors.
DEFAULTS: dict[str, Any] = {"norm_num_groups": 32, "norm_eps": 1e-6, "num_head_channels": 8}
READ = (
    *("spatial_dims", "in_channels", "out_channels", "num_res_blocks", "channels"),
    *("attention_levels", "resblock_updown", "num_class_embeds", *DEFAULTS),
)
# Settings that the U-Net has in one form only, or that change no number.
FIXED: dict[str, tuple[Any, ...]] = {
    "with_conditioning": (False,),
    "cross_attention_dim": (None,),
    "transformer_num_layers": (1,),
    "include_fc": (True,),
    "use_combined_linear": (False,),
    "upcast_attention": (False, True),
    "use_flash_attention": (False, True),
    "dropout_cattn": (0.0,),
}
_NAMES = [
    (r"^embedding\.hidden\.", "time_embed.0."),
    (r"^embedding\.out\.", "time_embed.2."),
    (r"^vector\.", "class_embedding."),
    (r"^enter\.", "conv_in.conv."),
    (r"^norm\.", "out.0."),
    (r"^leave\.", "out.2.conv."),
    (r"^middle\.0\.attentions\.0\.", "middle_block.attention."),
    (r"^middle\.0\.block\.", "middle_block.resnet_1."),
    (r"^middle\.1\.block\.", "middle_block.resnet_2."),
    (r"^(down|up)\.(\d+)\.(down|up)\.block\.", r"\1_blocks.\2.\3sampler."),
    (r"^down\.(\d+)\.down\.conv\.", r"down_blocks.\1.downsampler.op.conv."),
    (r"^up\.(\d+)\.up\.conv\.", r"up_blocks.\1.upsampler.postconv.conv."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.block\.", r"\1_blocks.\2.resnets.\3."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.attentions\.0\.", r"\1_blocks.\2.attentions.\3."),
    (r"\.project\.", ".time_emb_proj."),
    (r"\.(conv[12])\.(weight|bias)$", r".\1.conv.\2"),
    (r"\.skip\.", ".skip_connection.conv."),
    (r"(attentions\.\d+|attention)\.out\.", r"\1.attn.out_proj."),
    (r"(attentions\.\d+|attention)\.qkv\.", r"\1.attn.to_{}."),
]
# Names of MONAI Generative Models, before they came into MONAI.
_OLD = [
    (r"(attentions\.\d+|middle_block\.attention)\.(to_[qkv])\.", r"\1.attn.\2."),
    (r"(attentions\.\d+|middle_block\.attention)\.proj_attn\.", r"\1.attn.out_proj."),
    (r"\.upsampler\.conv\.conv\.", ".upsampler.postconv.conv."),
]


def unet_from_monai(
    weights: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
) -> tuple[UNet, dict[str, Any]]:
    """A U-Net with the weights of a ``DiffusionModelUNet``.

    Args:
        weights: Its state dictionary.
        config: The arguments that it was made with; what tensors do not say (groups, the channels
            of a head) is MONAI's default where it is missing.

    Returns:
        The U-Net, and its arguments.

    Raises:
        InputError: The arguments ask for what the U-Net has not, or a tensor is missing,
            superfluous or misshapen.
    """
    c = {**DEFAULTS, **(config or {})}
    unread = [key for key in c if key not in (*READ, *FIXED) and not key.startswith("_")]
    if unread:
        raise InputError(f"The MONAI arguments {', '.join(unread)} are not known here; leave out.")
    check_fixed("DiffusionModelUNet of MONAI", FIXED, c)
    source = {_modern(name): value for name, value in weights.items()}
    options = _options(source, c)
    with torch.device("meta"):
        unet = UNet(**options)
    fill(unet, source, _their_names, _turned(1), WHAT)
    return unet, options


def unet_to_monai(unet: UNet) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary and arguments of the ``DiffusionModelUNet`` that computes what a U-Net
    computes; ``InputError`` where none does.
    """
    config = _monai_config(unet)

    def turn(key: str, value: Tensor) -> Tensor:
        linear = "attentions" in key and value.ndim == 3
        return (value.squeeze(-1) if linear else _turned(-1)(key, value)).contiguous()

    return taken(unet, _their_names, turn), config


def _their_names(key: str) -> list[str]:
    """Their names of one of our tensors: one, or three for queries, keys and values."""
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return [key.format(part) for part in "qkv"] if "{}" in key else [key]


def _modern(key: str) -> str:
    """A name with those of MONAI Generative Models replaced."""
    for pattern, name in _OLD:
        key = re.sub(pattern, name, key)
    return key


def _turned(sign: int) -> Any:
    """Sines before cosines in the label's embedding, and the table of classes as a map; or back."""

    def turn(key: str, value: Tensor) -> Tensor:
        if key == "embedding.hidden.weight":
            return value.roll(sign * (value.shape[1] // 2), 1)
        return value.T if key == "vector.weight" else value

    return turn


def _options(source: Mapping[str, Tensor], c: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``UNet``, read off tensors, and off the configuration where they are
    silent.
    """
    first, last = source.get("conv_in.conv.weight"), source.get("out.2.conv.weight")
    if first is None or last is None:
        raise InputError(f"The {WHAT} have no conv_in.conv.weight or out.2.conv.weight.")
    levels = _count(source, r"down_blocks\.(\d+)\.resnets\.0\.conv1\.conv\.weight")
    widths = [len(source[f"down_blocks.{i}.resnets.0.conv1.conv.weight"]) for i in range(levels)]
    blocks = [
        _count(source, rf"down_blocks\.{i}\.resnets\.(\d+)\.conv1\.conv\.weight")
        for i in range(levels)
    ]
    if any(width % widths[0] for width in widths):
        raise InputError(f"The channels of a U-Net are multiples of the first, not {widths}.")
    attentive = [i for i in range(levels) if f"down_blocks.{i}.attentions.0.norm.weight" in source]
    heads = c["num_head_channels"]
    used = {heads} if isinstance(heads, int) else {heads[i] for i in [*attentive, levels - 1]}
    if len(used) > 1:
        raise InputError(f"num_head_channels is one number at all levels here, not {heads}.")
    classes = source.get("class_embedding.weight")
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[0],
        "dims": first.ndim - 2,
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": blocks,
        "attention_levels": attentive,
        "middle_attention": True,
        "head_dim": used.pop(),
        "groups": c["norm_num_groups"],
        "modulation": "add",
        "vector_width": None if classes is None else len(classes),
        "resampling_blocks": "down_blocks.0.downsampler.norm1.weight" in source,
        "norm_eps": c["norm_eps"],
        "embedding_shift": 0.0,
    }


def _count(source: Mapping[str, Tensor], pattern: str) -> int:
    """How many names match."""
    return sum(re.fullmatch(pattern, name) is not None for name in source)


def _monai_config(unet: UNet) -> dict[str, Any]:
    """The arguments of the ``DiffusionModelUNet`` that computes what ``unet`` computes."""
    net: Any = unet
    blocks = [level.stages[0].block for level in net.down]
    resampled = [m for m in unet.modules() if isinstance(m, DownsampleBlock)]
    attention = [m for m in unet.modules() if isinstance(m, SelfAttention)]
    padded = resampled or net.down[0].down is None or net.down[0].down.conv.padding[0] == 1
    more = unet.patch != 1 or unet.coordinates or unet.shortcut is not None
    more = more or unet.picture_shortcut is not None or len(unet.shrink) > 0
    more = more or unet.skip_scale != 1 or unet.token_width is not None or unet.dims == 1
    more = more or not isinstance(blocks[0], AddBlock) or unet.input.detail is not None
    more = more or any(isinstance(m, SpatialTransformer) for m in unet.modules())
    more = more or not padded or net.embedding.shift != 0 or not len(net.middle[0].attentions)
    if more:
        raise InputError(
            "MONAI's DiffusionModelUNet has two or three dimensions, modulation 'add', "
            "embedding_shift 0, downsample_padding 1 and attention at the bottom, and neither "
            "patches, coordinates, detail, tokens, transformers, halvings, scaled skips nor a "
            "shortcut; this U-Net cannot be written so."
        )
    widths = {m.norm.num_channels // m.heads for m in attention}
    if len(widths) > 1:
        raise InputError(
            "MONAI's DiffusionModelUNet has heads of one width; this U-Net has one head a map: "
            "train it with head_dim."
        )
    return {
        "spatial_dims": unet.dims,
        "in_channels": net.enter.in_channels,
        "out_channels": net.leave.out_channels,
        "num_res_blocks": [len(level.stages) for level in net.down],
        "channels": [block.conv1.out_channels for block in blocks],
        "attention_levels": [len(level.stages[0].attentions) > 0 for level in net.down],
        "norm_num_groups": net.norm.num_groups,
        "norm_eps": net.norm.eps,
        "resblock_updown": bool(resampled),
        "num_head_channels": widths.pop(),
        "num_class_embeds": unet.vector_width,
    }
