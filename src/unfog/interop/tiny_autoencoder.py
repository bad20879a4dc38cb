"""Tiny autoencoders (TAESD, TAEF2): the two published files, and diffusers' ``AutoencoderTiny``,
whose decoder counts its layers from the convolution on and not from the squashing ahead of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.key_map import fill
from unfog.networks.autoencoder.tiny import tiny_decoder, tiny_encoder

WHAT = "weights of a tiny autoencoder"
State = dict[str, Tensor]


def tiny_from_diffusers(weights: Mapping[str, Tensor]) -> tuple[State, State]:
    """Encoder and decoder, under the published names, of an ``AutoencoderTiny``.

    Args:
        weights: Its state dictionary.

    Returns:
        The tensors of either.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    parts: dict[str, State] = {"encoder": {}, "decoder": {}}
    for name, value in weights.items():
        match = re.fullmatch(r"(encoder|decoder)\.layers\.(\d+)\.(.+)", name)
        if match is None:
            raise InputError(f"The {WHAT} have besides {name}; give an AutoencoderTiny's own file.")
        side, number, rest = match.groups()
        parts[side][f"{int(number) + (side == 'decoder')}.{rest}"] = value
    check_tiny(parts["encoder"], parts["decoder"])
    return parts["encoder"], parts["decoder"]


def tiny_to_diffusers(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> State:
    """The state dictionary of the ``AutoencoderTiny`` of these published weights; ``InputError``
    for pooled blocks (TAEF2), which it has not.
    """
    if any(".pool." in name for name in decoder):
        raise InputError("diffusers' AutoencoderTiny has no pooled blocks, as TAEF2 does.")
    state = {f"encoder.layers.{name}": value for name, value in encoder.items()}
    for name, value in decoder.items():
        number, rest = name.split(".", 1)
        state[f"decoder.layers.{int(number) - 1}.{rest}"] = value
    return state


def check_tiny(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> None:
    """``InputError`` unless both are whole, and of the same latents."""
    first, last = decoder.get("1.weight"), encoder.get("14.weight")
    if first is None or last is None or first.shape[1] != last.shape[0]:
        raise InputError(f"The {WHAT} are not an encoder and a decoder of the same latents.")
    pooled = any(".pool." in name for name in decoder)
    for part, weights in ((tiny_encoder, encoder), (tiny_decoder, decoder)):
        with torch.device("meta"):
            network = part(first.shape[1], pooled)
        fill(network, weights, lambda key: [key], lambda key, value: value, WHAT)
