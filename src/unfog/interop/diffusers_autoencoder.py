r"""Autoencoders to and from diffusers' ``AutoencoderKL`` and ``VQModel``: one architecture (Esser
et al. 2021; Rombach et al. 2022) under two sets of names. Queries, keys and values are three
matrices there and one here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.diffusers_common import check_fixed, check_known, whole
from unfog.networks.autoencoder import Autoencoder, autoencoders
from unfog.networks.layers.blocks import Downsample, Upsample

# Our names to theirs, within an encoder or a decoder.
_NAMES = [
    (r"\.enter\.", ".conv_in."),
    (r"\.leave\.", ".conv_out."),
    (r"coder\.norm\.", "coder.conv_norm_out."),
    (r"\.middle\.block1\.", ".mid_block.resnets.0."),
    (r"\.middle\.block2\.", ".mid_block.resnets.1."),
    (r"\.middle\.attention\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.middle\.attention\.out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.middle\.attention\.qkv\.", ".mid_block.attentions.0.to_{}."),
    (r"\.skip\.", ".conv_shortcut."),
    (r"^quant\.", "quant_conv."),
    (r"^post_quant\.", "post_quant_conv."),
    (r"^codebook\.", "quantize.embedding."),
]
_KIND = "autoencoder"  # as messages call it
# Settings that the autoencoders have in one form only.
_FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu",),
    "norm_type": ("group",),
    "mid_block_add_attention": (True,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "lookup_from_codebook": (False,),
}
# Settings that are read, here or by whoever takes the latents, and that say what the widths do.
_READ = [
    *("block_out_channels", "layers_per_block", "norm_num_groups", "latent_channels"),
    *("in_channels", "out_channels", "num_vq_embeddings", "vq_embed_dim", "scaling_factor"),
    *("shift_factor", "down_block_types", "up_block_types", "force_upcast"),
]
_OURS = {"unused"}  # counts of our training
# Names of attention in files from before diffusers 0.18, as those of Stable Diffusion 1 are.
_FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def autoencoder_from_diffusers(
    weights: Mapping[str, Tensor], config: Mapping[str, Any]
) -> Autoencoder:
    """An autoencoder with the weights of an ``AutoencoderKL`` or ``VQModel``.

    Args:
        weights: Its state dictionary.
        config: Its configuration, the contents of config.json.

    Returns:
        The autoencoder.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    autoencoder, source = _like(config), {_renamed(key): v for key, v in weights.items()}
    state = {}
    for key, like in autoencoder.state_dict().items():
        if key in _OURS:
            state[key] = like
            continue
        names = _their_names(autoencoder, key)
        missing = [name for name in names if name not in source]
        if missing:
            raise InputError(
                f"The diffusers weights have no {missing[0]!r}, which their configuration asks for."
            )
        value = torch.cat([source.pop(name) for name in names])
        if value.numel() != like.numel():
            raise InputError(
                f"The diffusers tensor {names[0]!r} has the shape {tuple(value.shape)}, and its "
                "configuration asks for another."
            )
        state[key] = value.reshape(like.shape)
    if source:
        raise InputError(
            f"The diffusers weights have {min(source)!r}, which their configuration does not ask "
            "for."
        )
    autoencoder.load_state_dict(state)
    return autoencoder


def autoencoder_to_diffusers(autoencoder: Autoencoder) -> dict[str, Tensor]:
    """The state dictionary of the ``AutoencoderKL`` or ``VQModel`` with an autoencoder's weights;
    ``InputError`` where it is not of pictures.
    """
    if autoencoder.dims != 2:
        raise InputError(f"diffusers has autoencoders of pictures, not of {autoencoder.dims} axes.")
    state = {}
    for key, value in autoencoder.state_dict().items():
        if key in _OURS:
            continue
        names = _their_names(autoencoder, key)
        for name, part in zip(names, value.chunk(len(names)), strict=True):
            linear = ".attentions." in name and part.ndim == 3
            state[name] = part.squeeze(-1) if linear else part
    return state


def autoencoder_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The registry config of the autoencoder that a configuration asks for; ``InputError`` where
    widths are not multiples of the first, or a number is missing.
    """
    check_fixed(_KIND, _FIXED, config)
    check_known(_KIND, {*_READ, *_FIXED}, config)
    widths = config.get("block_out_channels")
    numbers = isinstance(widths, Sequence) and all(isinstance(w, int) and w > 0 for w in widths)
    if not widths or not numbers or any(width % widths[0] for width in widths):
        raise InputError(
            f"block_out_channels of a diffusers {_KIND} are numbers, here multiples of the first, "
            f"not {widths!r}."
        )
    vq = {"name": "vq", "codes": config.get("num_vq_embeddings")}
    return {
        **(vq if "num_vq_embeddings" in config else {"name": "kl"}),
        "latent_channels": whole(_KIND, config, "latent_channels"),
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": whole(_KIND, config, "layers_per_block"),
        "groups": whole(_KIND, config, "norm_num_groups"),
    }


def _renamed(name: str) -> str:
    """A tensor's name of today, of a file that calls attention as older ones do.

    >>> _renamed("encoder.mid_block.attentions.0.proj_attn.bias")
    'encoder.mid_block.attentions.0.to_out.0.bias'
    """
    head, dot, end = name.rpartition(".")
    first, between, last = head.rpartition(".")
    former = ".attentions." in name and last in _FORMER
    return f"{first}{between}{_FORMER[last]}{dot}{end}" if former else name


def _like(config: Mapping[str, Any]) -> Autoencoder:
    """The untrained autoencoder of a configuration."""
    channels = whole(_KIND, config, "in_channels")
    return autoencoders.build(autoencoder_options(config), in_channels=channels)


def _their_names(autoencoder: Autoencoder, key: str) -> list[str]:
    """Their tensors, one or three, that make up ours."""
    name = re.sub(r"\.(down|up)\.(\d+)\.", lambda m: _place(autoencoder, m), key)
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return [name.format(part) for part in "qkv"] if "{}" in name else [name]


def _place(autoencoder: Autoencoder, match: re.Match[str]) -> str:
    """Their level and block of our step ``.down.5.`` or ``.up.5.``."""
    way = match.group(1)
    steps = autoencoder.encoder.down if way == "down" else autoencoder.decoder.up
    place = list(_places(steps, way))[int(match.group(2))]
    return f".{way}_blocks.{place}."


def _places(steps: Any, way: str) -> Iterator[str]:
    """Level and block of each step, in order."""
    level = block = 0
    for step in steps:
        if isinstance(step, Downsample | Upsample):
            yield f"{level}.{way}samplers.0"
            level, block = level + 1, 0
        else:
            yield f"{level}.resnets.{block}"
            block += 1
