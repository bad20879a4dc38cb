"""The perceptron of a U-Net's vector (of Stable Diffusion XL: the text's pooled state, and sizes),
which is part of the network in other libraries and a condition here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.core.conditions import VectorCondition
from unfog.interop.key_map import fill
from unfog.networks.layers.embedding import sinusoids
from unfog.networks.unet import UNet

OURS = ("project.0", "project.2")
SIZES_WIDTH = 256  # numbers that each size is embedded as


def take_vector(
    weights: dict[str, Tensor], names: Sequence[str], size: int, width: int, what: str
) -> VectorCondition:
    """The condition of the perceptron in foreign weights, which are taken out of these.

    Args:
        weights: Theirs by name.
        names: Their names of the perceptron's two layers.
        size: Numbers of the vector.
        width: Of the label's embedding.
        what: What the weights are called in messages.

    Returns:
        The condition.

    Raises:
        InputError: A tensor of it is missing or misshapen.
    """
    held = {k: weights.pop(k) for k in list(weights) if k.rpartition(".")[0] in names}
    condition = VectorCondition(size, width, null="zero")
    layers = dict(zip(("0", "2"), names, strict=True))

    def theirs(key: str) -> list[str]:
        layer, end = key.split(".")
        return [f"{layers[layer]}.{end}"]

    fill(condition.project, held, theirs, lambda _, value: value, what)
    return condition


def add_as_it_is(unet: UNet) -> None:
    """Let a network without a vector add one, which is as wide as the label's embedding."""
    width = unet.embedding_width
    unet.vector = nn.Linear(width, width, bias=False)
    unet.vector.load_state_dict({"weight": torch.eye(width)})
    unet.vector_width = width


def vector_tensors(
    unet: UNet, condition: VectorCondition | None, names: Sequence[str]
) -> dict[str, Tensor]:
    """The perceptron's tensors by their names, with the map by which the network adds its vector
    folded into the last: the inverse of `take_vector`.
    """
    if condition is None or unet.vector is None:
        return {}
    state, adds = condition.state_dict(), unet.vector.weight.detach()
    own = {
        f"{name}.{end}": state[f"{layer}.{end}"].clone()
        for layer, name in zip(OURS, names, strict=True)
        for end in ("weight", "bias")
    }
    for end in ("weight", "bias"):
        own[f"{names[1]}.{end}"] = adds @ own[f"{names[1]}.{end}"]
    return own


def text_and_sizes(pooled: Tensor, sizes: Tensor) -> Tensor:
    """The vector of Stable Diffusion XL (Podell et al. 2023).

    Args:
        pooled: The text's pooled state, (batch, width).
        sizes: (batch, count), in pixels: height and width of the original, top and left of the
            crop, height and width asked for.

    Returns:
        (batch, width + 256 count): the pooled state, then each size's cosines and sines.
    """
    waves = sinusoids(sizes.flatten(), SIZES_WIDTH, 0.0).roll(SIZES_WIDTH // 2, 1)
    return torch.cat([pooled, waves.view(len(pooled), -1).to(pooled)], 1)
