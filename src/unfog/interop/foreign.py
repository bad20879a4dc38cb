"""Foreign weights as a network of ours with the arguments it is made of: one table of formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition
from unfog.core.conditions import ClassCondition, TokenCondition, VectorCondition
from unfog.errors import InputError
from unfog.interop.diffusers import unet_from_diffusers
from unfog.interop.diffusers_autoencoder import autoencoder_from_diffusers, autoencoder_options
from unfog.interop.diffusers_conditional import CLASS, conditional_from_diffusers
from unfog.interop.diffusers_dit import dit_from_diffusers, dit_options
from unfog.interop.diffusers_names import unet_options
from unfog.interop.ldm_autoencoder import ldm_as_diffusers
from unfog.interop.ldm_unet import unet_from_ldm
from unfog.interop.monai_unet import unet_from_monai
from unfog.interop.openai_unet import unet_from_openai
from unfog.networks.autoencoder import Autoencoder
from unfog.networks.transformer_unet import TransformerUNet
from unfog.networks.unet import UNet

Config = Mapping[str, Any]
Weights = Mapping[str, Tensor]
TOKENS, VECTOR = "tokens", "vector"  # conditions of a U-Net of Stable Diffusion
# What a U-Net of Stable Diffusion was trained with, which it does not say.
SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
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
        conditions: Other conditions by name, each with its registry config.
        scheduler: The table of noise that is assumed where no file says it.
        left: What the weights are of no use without, and which is not imported.
        taken: What was told of the network that its section says by another name.
    """

    network: nn.Module
    section: dict[str, Any]
    channels: tuple[int, int]
    classes: ClassCondition | None = None
    size: int | None = None
    latents: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, tuple[Config, Condition]] = field(default_factory=dict)
    scheduler: Config = field(default_factory=dict)
    left: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


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


def _latent_unet(
    unet: TransformerUNet, vector: VectorCondition | None, options: Config, size: int | None = None
) -> Foreign:
    """A U-Net of latents, whose tokens, states of a text encoder, pass their condition as they are;
    the null of both conditions is zeros.
    """
    width = options["token_width"]
    tokens = TokenCondition(width, width, null="zero")
    own = {"project.weight": torch.eye(width), "project.bias": torch.zeros(width)}
    tokens.load_state_dict({**tokens.state_dict(), **own})
    held: dict[str, tuple[Config, Condition]] = {
        TOKENS: ({"name": "tokens", "size": width, "width": width, "null": "zero"}, tokens)
    }
    if vector is not None:
        numbers = vector.project.get_parameter("0.weight").shape[1]
        held[VECTOR] = ({"name": "vector", "size": numbers, "null": "zero"}, vector)
    return Foreign(
        unet,
        {"name": "transformer-unet", **{k: v for k, v in options.items() if k not in SIZES}},
        (options["in_channels"], options["out_channels"]),
        size=size,
        conditions=held,
        scheduler=SCHEDULER,
        left=(
            f"text encoder: give its states of {width} numbers as the condition {TOKENS!r}",
            "autoencoder: samples are latents, times its scale",
        ),
    )


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
    size = size[0] if isinstance(size, list | tuple) else size
    if kind == CLASS:
        return _latent_unet(*conditional_from_diffusers(weights, config), size)
    if kind == "UNet2DModel":
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
        f"diffusers' {kind} does not become a run; UNet2DModel, {CLASS}, AutoencoderKL, VQModel "
        "and DiTTransformer2DModel do."
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


def from_ldm_unet(weights: Weights, config: Config | None, told: Config) -> Foreign:
    """The U-Net of a single file of Stable Diffusion."""
    return replace(_latent_unet(*unet_from_ldm(weights, **told)), taken=("head_dim",))


FORMATS: dict[str, Callable[[Weights, Config | None, Config], Foreign]] = {
    "diffusers": from_diffusers,
    "monai": from_monai,
    "openai": from_openai,
    "ldm": from_ldm,
    "ldm-unet": from_ldm_unet,
}
