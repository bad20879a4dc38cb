r"""Autoencoders of latent diffusion's own code (Rombach et al. 2022), as checkpoints of it and of
what descends from it hold them: diffusers' ``AutoencoderKL`` under older names.

Their decoder counts its levels from the top, and queries, keys, values and the output of attention
are convolutions of one point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unfog.errors import InputError
from unfog.interop.diffusers_autoencoder import autoencoder_from_diffusers
from unfog.networks.autoencoder import Autoencoder

GROUPS = 32  # of the normalisation, in all of them

# Their names to diffusers', applied in order.
_NAMES = [
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.(\d+)\.", r".up_blocks.\1.resnets.\2."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.norm_out\.", ".conv_norm_out."),
]


def autoencoder_from_ldm(weights: Mapping[str, Tensor]) -> Autoencoder:
    """The autoencoder of a checkpoint of latent diffusion.

    Args:
        weights: Its tensors, without the prefix ``first_stage_model.``.

    Returns:
        The autoencoder, its sizes read off the tensors.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    return autoencoder_from_diffusers(*ldm_as_diffusers(weights))


def ldm_as_diffusers(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint under diffusers' names, and their configuration; arguments and
    errors as of `autoencoder_from_ldm`.
    """
    if "encoder.conv_in.weight" not in weights or "post_quant_conv.weight" not in weights:
        raise InputError("These are no weights of an autoencoder of latent diffusion.")
    levels = sum(
        re.fullmatch(r"encoder\.down\.\d+\.block\.0\.conv1\.weight", k) is not None for k in weights
    )
    blocks = sum(
        re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", k) is not None for k in weights
    )
    widths = [len(weights[f"encoder.down.{k}.block.0.conv1.weight"]) for k in range(levels)]
    config = {
        "block_out_channels": widths,
        "layers_per_block": blocks,
        "norm_num_groups": GROUPS,
        "latent_channels": weights["post_quant_conv.weight"].shape[0],
        "in_channels": weights["encoder.conv_in.weight"].shape[1],
    }
    return {_diffusers_name(name, levels): value for name, value in weights.items()}, config


def _diffusers_name(name: str, levels: int) -> str:
    """The name in diffusers of a tensor of an autoencoder of so many levels."""
    name = re.sub(r"\.up\.(\d+)\.", lambda m: f".up.{levels - 1 - int(m.group(1))}.", name)
    for theirs, diffusers in _NAMES:
        name = re.sub(theirs, diffusers, name)
    return name
