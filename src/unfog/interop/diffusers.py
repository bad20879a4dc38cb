r"""U-Nets to and from diffusers' ``UNet2DModel``: one architecture (Ho et al. 2020) under two sets
of names.

The translation needs only a dictionary of tensors and a configuration, not diffusers itself. Three
things differ besides names: queries, keys and values are three matrices there and one here; the
label's sinusoids may come cosines first, which permutes the columns of the layer that reads them;
and a class is looked up in a table there, which is what a linear map does to a one-hot vector here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.interop.diffusers_common import (
    Config,
    check_all_taken,
    given,
    model_folder,
    read_folder,
    shaped,
    take,
    write_folder,
)
from unfog.interop.diffusers_names import (
    DEFAULTS,
    diffusers_config,
    modern_name,
    their_names,
    unet_options,
)
from unfog.networks.unet import UNet


def unet_from_diffusers(
    weights: Mapping[str, Tensor] | nn.Module, config: Config | None = None
) -> UNet:
    """A U-Net with the weights of a ``UNet2DModel``.

    A network of ``num_class_embeds`` classes takes ``Context.vector`` as a one-hot (batch,
    num_class_embeds).

    Args:
        weights: The ``UNet2DModel`` itself, or its state dictionary.
        config: Its configuration, the contents of config.json; read off the model if that is given.

    Raises:
        InputError: The configuration asks for what the U-Net has not, or a tensor is missing,
            superfluous or misshapen.
    """
    state, config = given(weights, config)
    unet = UNet(**unet_options(config))
    cosines_first = config.get("flip_sin_to_cos", DEFAULTS["flip_sin_to_cos"])
    source = {modern_name(key): value for key, value in state.items()}
    ours = {key: _ours(source, key, like, cosines_first) for key, like in unet.state_dict().items()}
    check_all_taken(source)
    unet.load_state_dict(ours)
    return unet


def _ours(source: dict[str, Tensor], key: str, like: Tensor, cosines_first: bool) -> Tensor:
    """Our tensor ``key``, shaped as ``like``, made of theirs, which are taken out of ``source``."""
    # Queries, keys and values in one matrix.
    names = their_names(key)
    value = take(source, names)
    # Their table of classes is (classes, width), our linear map (width, classes).
    if key == "vector.weight":
        value = value.T
    # Our sinusoids come sines first: exchange the halves of the columns.
    if key == "embedding.hidden.weight" and cosines_first:
        value = value.roll(value.shape[1] // 2, 1)
    return shaped(value, like.shape, names[0])


def unet_to_diffusers(unet: UNet) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary and configuration of the ``UNet2DModel`` that computes what ``unet``
    computes.

    Spatial channels count among its input channels, and a vector becomes the choice of a class.
    Raises `InputError` for a U-Net that ``UNet2DModel`` cannot be.
    """
    config, state = diffusers_config(unet), {}
    for key, value in unet.state_dict().items():
        names = their_names(key)
        value = value.T if key == "vector.weight" else value
        # the attention's convolutions are linear layers there
        value = value.squeeze(-1) if value.ndim == 3 else value
        state.update(
            {
                name: part.clone(memory_format=torch.contiguous_format)
                for name, part in zip(names, value.chunk(len(names)), strict=True)
            }
        )
    return state, config


class DiffusersNetwork(nn.Module):
    """A model of diffusers called as an unfog network: (x, label, context) -> out.

    x is (batch, channels, height, width) and the label (batch,), the number of the step;
    ``context.spatial`` joins x as channels, ``context.vector`` is a one-hot class, and there are no
    tokens.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, label: Tensor, context: Context | None = None) -> Tensor:
        context = context or Context()
        if context.tokens is not None:
            raise InputError("This network of diffusers takes no tokens.")
        if context.spatial is not None:
            x = torch.cat([x, context.spatial], 1)
        classes = None if context.vector is None else context.vector.argmax(1)
        out: Tensor = self.model(x, label, class_labels=classes, return_dict=False)[0]
        return out


def load_diffusers(path: str | Path) -> UNet:
    """The U-Net of a diffusers folder: a model's own, or a pipeline's with the model in
    ``unet``.
    """
    folder = model_folder(path, "unet")
    state, config = read_folder(folder)
    try:
        return unet_from_diffusers(state, config)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def save_diffusers(
    unet: UNet, path: str | Path, sample_size: int | tuple[int, int] | None = None
) -> None:
    """Write a U-Net as a diffusers model folder: config.json and its weights.

    Args:
        unet: The network.
        path: The folder, made if it does not exist.
        sample_size: Height and width that pipelines draw by default, one number for both.

    Raises:
        InputError: ``UNet2DModel`` cannot be this network.
    """
    state, config = unet_to_diffusers(unet)
    write_folder(path, state, {**config, "sample_size": sample_size})
