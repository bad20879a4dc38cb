"""U-Nets of improved-diffusion and guided-diffusion (Nichol & Dhariwal 2021; Dhariwal & Nichol
2021), whose names latent diffusion's code inherited: ``input_blocks``, ``middle_block``,
``output_blocks``.

Besides names: the label's sinusoids come cosines first; the rows of queries, keys and values lie
head by head; a class is looked up in a table, which is what a linear map does to a one-hot vector
here. Steps between levels may be residual blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.key_map import Names, Turn, fill, taken
from unfog.networks.layers.attention import SelfAttention
from unfog.networks.unet import UNet

WHAT = "weights of an OpenAI U-Net"
GROUPS, EPS, HEAD_DIM = 32, 1e-5, 64  # which no tensor says
_BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "project": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "skip": "skip_connection",
}
_ENDS = {
    "embedding.hidden": "time_embed.0",
    "embedding.out": "time_embed.2",
    "vector": "label_emb",
    "enter": "input_blocks.0.0",
    "norm": "out.0",
    "leave": "out.2",
}


def unet_from_openai(
    weights: Mapping[str, Tensor], head_dim: int = HEAD_DIM, groups: int = GROUPS
) -> tuple[UNet, dict[str, Any]]:
    """A U-Net with the weights of a checkpoint of improved-diffusion or guided-diffusion.

    Args:
        weights: Its tensors.
        head_dim: Channels of an attention head, which no tensor says: 64 in guided-diffusion's
            models; in improved-diffusion the channels over ``num_heads``.
        groups: Groups of the normalisation: 32 in all that are published.

    Returns:
        The U-Net, and its arguments.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    options = {**openai_options(weights), "head_dim": head_dim, "groups": groups}
    with torch.device("meta"):
        unet = UNet(**options)
    fill(unet, weights, openai_names(unet), _turn(unet, True), WHAT)
    return unet, options


def unet_to_openai(unet: UNet) -> dict[str, Tensor]:
    """The tensors of a checkpoint that computes what a U-Net computes, which has as many blocks at
    every level and an attention at the bottom: the inverse of `unet_from_openai`.
    """
    return taken(unet, openai_names(unet), _turn(unet, False))


def openai_names(unet: UNet) -> Names:
    """Our names to theirs, whose blocks are numbered through all levels."""
    net: Any = unet
    blocks, levels = len(net.down[0].stages), len(net.down)
    attentive = [len(level.stages[0].attentions) > 0 for level in net.up]

    def theirs(key: str) -> list[str]:
        name, end = key.rsplit(".", 1)
        if name in _ENDS:
            return [f"{_ENDS[name]}.{end}"]
        side, *rest = name.split(".")
        if side == "middle":
            place = "middle_block." + ("1" if rest[1] == "attentions" else str(2 * int(rest[0])))
        else:
            level, block = int(rest[0]), int(rest[2]) if rest[1] == "stages" else blocks
            if side == "down":
                place, own = f"input_blocks.{1 + level * (blocks + 1) + block}", 0
            else:
                step = rest[1] == "up"
                place = f"output_blocks.{level * (blocks + 1) + block}"
                own = 1 + attentive[level] if step else 0
            place += f".{1 if 'attentions' in rest else own}"
        last = rest[-1]
        if "attentions" in rest:
            return [f"{place}.{'proj_out' if last == 'out' else last}.{end}"]
        if last == "conv":
            return [f"{place}.{'op' if side == 'down' else 'conv'}.{end}"]
        return [f"{place}.{_BLOCK[last]}.{end}"]

    assert levels == len(attentive)
    return theirs


def _turn(unet: UNet, ours: bool) -> Turn:
    """Tensors between their layout and ours, which is asked for."""
    modules = dict(unet.named_modules())

    def turn(key: str, value: Tensor) -> Tensor:
        if key == "embedding.hidden.weight":
            return value.roll(value.shape[1] // 2 * (1 if ours else -1), 1)
        if key == "vector.weight":
            return value.T
        if ".qkv." not in key:
            return value
        # Rows (head, part, channel) there, (part, head, channel) here.
        attention = modules[key.partition(".qkv.")[0]]
        assert isinstance(attention, SelfAttention)
        first = (attention.heads, 3) if ours else (3, attention.heads)
        rows = value.reshape(*first, -1, *value.shape[1:])
        return rows.transpose(0, 1).reshape(value.shape)

    return turn


def openai_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of ``UNet`` that the tensors say."""
    enter, leave = weights.get("input_blocks.0.0.weight"), weights.get("out.2.weight")
    if enter is None or leave is None:
        raise InputError(f"The {WHAT} have no input_blocks.0.0.weight or out.2.weight.")
    channels = enter.shape[0]
    # A step up is the last part of the last block of a level.
    up = sorted(
        int(m[1])
        for m in (
            re.fullmatch(r"output_blocks\.(\d+)\.[12]\.(conv|in_layers\.2)\.weight", key)
            for key in weights
        )
        if m
    )
    count = len({m[1] for m in (re.match(r"output_blocks\.(\d+)\.", key) for key in weights) if m})
    levels = len(up) + 1
    blocks = count // levels - 1
    if count % levels or blocks < 1:
        raise InputError(
            f"The {WHAT} have {count} output_blocks in {levels} levels, which is none."
        )
    starts = [1 + level * (blocks + 1) for level in range(levels)]
    widths = [_size(weights, f"input_blocks.{start}.0.in_layers.2.weight") for start in starts]
    first = f"input_blocks.{starts[0]}.0."
    shifted = _size(weights, f"{first}emb_layers.1.weight") == 2 * widths[0]
    classes = weights.get("label_emb.weight")
    return {
        "in_channels": enter.shape[1],
        "out_channels": leave.shape[0],
        "dims": enter.ndim - 2,
        "channels": channels,
        "multipliers": [width // channels for width in widths],
        "blocks": blocks,
        "attention_levels": [
            level
            for level, start in enumerate(starts)
            if f"input_blocks.{start}.1.qkv.weight" in weights
        ],
        "middle_attention": "middle_block.1.qkv.weight" in weights,
        "modulation": "scale-shift" if shifted else "add",
        "vector_width": None if classes is None else len(classes),
        "resampling_blocks": any(
            re.fullmatch(r"output_blocks\.\d+\.[12]\.in_layers\.2\.weight", key) for key in weights
        ),
        "norm_eps": EPS,
        "embedding_shift": 0.0,
    }


def _size(weights: Mapping[str, Tensor], name: str) -> int:
    """The first size of a tensor; ``InputError`` where it is missing."""
    if name not in weights:
        raise InputError(f"The {WHAT} have no {name}.")
    return weights[name].shape[0]
