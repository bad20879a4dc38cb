"""Foreign weights as a network of ours with the arguments it is made of: one table of formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditions import ClassCondition
from unfog.errors import InputError
from unfog.interop.diffusers import unet_from_diffusers
from unfog.interop.diffusers_autoencoder import autoencoder_from_diffusers, autoencoder_options
from unfog.interop.diffusers_dit import dit_from_diffusers, dit_options
from unfog.interop.diffusers_names import unet_options
from unfog.interop.ldm_autoencoder import ldm_as_diffusers
from unfog.interop.monai_unet import unet_from_monai
from unfog.interop.openai_unet import unet_from_openai
from unfog.networks.autoencoder import Autoencoder
from unfog.networks.unet import UNet

Config = Mapping[str, Any]
Weights = Mapping[str, Tensor]
SIZES = ("in_channels", "out_channels", "vector_width", "spatial_channels", "token_width")


@dataclass(frozen=True)
class Foreign:
    """A foreign network as ours.

    Args:
        network: The network with its weights.
        section: Its registry config, without what follows from data and conditions.
        channels: Of x, and of the output.
        classes: The condition that embeds a class; None where there are none.
        size: Side of the samples that it was made for; None where nothing says.
        latents: Factor and shift of an autoencoder's latents.
    """

    network: nn.Module
    section: dict[str, Any]
    channels: tuple[int, int]
    classes: ClassCondition | None = None
    size: int | None = None
    latents: Mapping[str, float] = field(default_factory=dict)


def _unet(unet: UNet, options: Config, size: int | None = None) -> Foreign:
    """A U-Net, whose classes, a linear map of a one-hot vector, become a condition with a table;
    its null is zeros.
    """
    section = {"name": "unet", **{k: v for k, v in options.items() if k not in SIZES}}
    channels = (options["in_channels"], options["out_channels"])
    if unet.vector is None:
        return Foreign(unet, section, channels, None, size)
    table = unet.vector.weight.detach().T.contiguous()
    classes = ClassCondition(len(table), table.shape[1], null="zero")
    classes.load_state_dict({**classes.state_dict(), "embedding.weight": table})
    unet.vector = nn.Linear(table.shape[1], table.shape[1], bias=False)
    unet.vector.load_state_dict({"weight": torch.eye(table.shape[1])})
    return Foreign(unet, section, channels, classes, size)


def _autoencoder(autoencoder: Autoencoder, config: Config) -> Foreign:
    """An autoencoder; its configuration's scale and shift are those of its latents."""
    channels = config["in_channels"]
    latents = {
        "scale": float(config.get("scaling_factor") or 1.0),
        "shift": float(config.get("shift_factor") or 0.0),
    }
    size = config.get("sample_size")
    return Foreign(
        autoencoder, autoencoder_options(config), (channels, channels), None, size, latents
    )


def from_diffusers(weights: Weights, config: Config | None, told: Config) -> Foreign:
    """A model of diffusers, of the class that its configuration names."""
    if config is None:
        raise InputError("Weights of diffusers come with config.json; give their folder.")
    kind = config.get("_class_name")
    size = config.get("sample_size")
    if kind == "UNet2DModel":
        size = size[0] if isinstance(size, list | tuple) else size
        return _unet(unet_from_diffusers(weights, config), unet_options(config), size)
    if kind in ("AutoencoderKL", "VQModel"):
        return _autoencoder(autoencoder_from_diffusers(weights, config), config)
    if kind == "DiTTransformer2DModel":
        dit, classes = dit_from_diffusers(weights, config)
        options = dit_options(config)
        section = {"name": "dit", **{k: v for k, v in options.items() if k not in SIZES}}
        channels = (options["in_channels"], options["out_channels"])
        return Foreign(dit, section, channels, classes, size)
    raise InputError(
        f"diffusers' {kind} does not become a run; UNet2DModel, AutoencoderKL, VQModel and "
        "DiTTransformer2DModel do."
    )


def from_monai(weights: Weights, config: Config | None, told: Config) -> Foreign:
    """MONAI's ``DiffusionModelUNet``."""
    names = {"head_dim": "num_head_channels", "groups": "norm_num_groups"}
    given = {names[key]: value for key, value in told.items()}
    return _unet(*unet_from_monai(weights, {**(config or {}), **given}))


def from_openai(weights: Weights, config: Config | None, told: Config) -> Foreign:
    """A U-Net of improved-diffusion or guided-diffusion."""
    return _unet(*unet_from_openai(weights, **told))


def from_ldm(weights: Weights, config: Config | None, told: Config) -> Foreign:
    """The autoencoder of a checkpoint of latent diffusion."""
    prefix = "first_stage_model."
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    state, sizes = ldm_as_diffusers(own or weights)
    return _autoencoder(autoencoder_from_diffusers(state, sizes), {**sizes, **(config or {})})


FORMATS: dict[str, Callable[[Weights, Config | None, Config], Foreign]] = {
    "diffusers": from_diffusers,
    "monai": from_monai,
    "openai": from_openai,
    "ldm": from_ldm,
}
