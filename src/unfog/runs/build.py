"""Builds the parts that a config describes: network, process, codec and space; or an autoencoder,
a joint encoder or a generator.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unfog.core.codec import Codec, codecs
from unfog.core.conditioning import Condition, Conditioner
from unfog.core.conditions import conditions
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.random import seed_of
from unfog.core.space import Space, spaces
from unfog.core.variance import LearnedRange, variances
from unfog.data import degradations  # noqa: F401  (registers those of upsamplers)
from unfog.errors import InputError
from unfog.networks import Network, networks
from unfog.networks.autoencoder import Autoencoder, autoencoders
from unfog.networks.generator import Generator, generators
from unfog.networks.joint_encoder import JointEncoder, joint_encoders
from unfog.runs.size import outlined
from unfog.systems.registry import Config
from unfog.text import readers  # noqa: F401  (registers the condition of bytes)


@dataclass(frozen=True)
class Parts:
    """The parts of a run that a config describes.

    Args:
        denoiser: The network as a denoiser.
        codec: Between natural units and the model's scale.
        shape: Of a sample, (channels, *space).
        space: Where states live.
    """

    denoiser: NetworkDenoiser
    codec: Codec
    shape: tuple[int, ...]
    space: Space


def is_autoencoder(config: Config) -> bool:
    """Whether a config describes an autoencoder, not a denoiser."""
    return "autoencoder" in config


def build_autoencoder(config: Config) -> Autoencoder:
    """The autoencoder that a config describes; initial weights are a function of the training seed
    alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config["training"]["seed"], "weights"))
        channels = codecs.build(config["codec"]).latent_shape(config["shape"])[0]
        outlined(lambda: autoencoders.build(config["autoencoder"], in_channels=channels))
        return autoencoders.build(config["autoencoder"], in_channels=channels)


def is_joint_encoder(config: Config) -> bool:
    """Whether a config describes a joint encoder of pictures and text, not a denoiser."""
    return "joint_encoder" in config


def build_joint_encoder(config: Config) -> JointEncoder:
    """The joint encoder that a config describes; initial weights as of ``build_autoencoder``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config["training"]["seed"], "weights"))
        outlined(
            lambda: joint_encoders.build(config["joint_encoder"], in_channels=config["shape"][0])
        )
        return joint_encoders.build(config["joint_encoder"], in_channels=config["shape"][0])


def is_generator(config: Config) -> bool:
    """Whether a config describes a generator, which draws samples and is no denoiser."""
    return "generator" in config


def build_generator(config: Config) -> Generator:
    """The generator that a config describes; initial weights as of ``build_autoencoder``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config["training"]["seed"], "weights"))
        shape = codecs.build(config["codec"]).latent_shape(config["shape"])
        outlined(lambda: generators.build(config["generator"], shape=shape))
        return generators.build(config["generator"], shape=shape)


def build(config: Config, weights: int | None = None) -> Parts:
    """Build what a config describes; initial weights are a function of the training seed alone.

    Args:
        config: The config.
        weights: Numbers in the file of its weights, where there is one; what is larger by far is
            refused before it is built.

    Returns:
        The parts.

    Raises:
        InputError: It describes an autoencoder, a joint encoder, a generator or a LoRA, which are
            no denoisers; or a part is out of range, or larger than memory.
    """
    if "lora" in config:
        raise InputError(
            "This run is a LoRA, which draws nothing without its pipeline: unfog sample --from "
            "FOLDER --lora RUN."
        )
    if is_generator(config):
        raise InputError(
            f"This run is a {config.get('system')}, which draws samples in one call and is no "
            "denoiser; unfog sample, evaluate and audit take it, and what needs a denoiser takes a "
            "diffusion model: unfog train ddpm."
        )
    if is_joint_encoder(config):
        raise InputError(
            "This run is a joint encoder of pictures and text and draws nothing by itself; train a "
            "prior of its embeddings: unfog train dalle2-prior --set codec.run=RUN."
        )
    if is_autoencoder(config):
        raise InputError(
            "This run is an autoencoder and draws nothing by itself; train a model in its latent "
            "space: unfog train latent-diffusion --set codec.run=RUN."
        )
    codec = codecs.build(config["codec"])
    network, conditioner = learned_parts(config, codec, weights)
    denoiser = NetworkDenoiser(
        network,
        processes.build(config["process"]),
        predictions.build(config["prediction"]),
        labels.build(config["label"]),
        conditioner,
        _variance(config),
    )
    space = spaces.build(config.get("space") or "plain")
    return Parts(denoiser, codec, tuple(config["shape"]), space)


def learned_parts(
    config: Config, codec: Codec | None = None, weights: int | None = None
) -> tuple[Network, Conditioner]:
    """The parts of a config that learn.

    Args:
        config: The config.
        codec: Its codec, built of it where it is not given.
        weights: Numbers in the file of its weights, where there is one.

    Returns:
        The network, and the embeddings of its conditions.
    """
    shape = (codec or codecs.build(config["codec"])).latent_shape(config["shape"])
    network = {"dims": len(shape) - 1, **config["network"]}
    # A learned variance takes as many channels as the mean.
    channels = {
        "in_channels": shape[0],
        "out_channels": shape[0] if _variance(config) is None else 2 * shape[0],
    }
    # The caller's random stream stays where it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config["training"]["seed"], "weights"))
        # Vectors are as wide as the label's embedding.
        width = _embedding_width(network, channels, shape[1:], weights)
        parts, widths = _conditions(config.get("conditions") or {}, width, shape[0])
        return networks.build({**network, **widths}, **channels), Conditioner(parts)


def _variance(config: Config) -> LearnedRange | None:
    return variances.build(config["variance"]) if config.get("variance") else None


def _embedding_width(
    network: Config, channels: dict[str, int], space: tuple[int, ...], weights: int | None
) -> int:
    """The width of the label's embedding in a network, by its outline without memory.

    Args:
        network: Its section.
        channels: That enter and leave.
        space: Sizes of a sample's axes.
        weights: Numbers in the file of its weights, where there is one.

    Returns:
        The width.

    Raises:
        InputError: The network does not take such samples, or is larger than memory or its weights.
    """
    outline = outlined(lambda: networks.build(network, **channels), weights)
    outline.check_space(space)
    return outline.embedding_width


def _conditions(sections: Config, width: int, channels: int) -> tuple[dict[str, Condition], Config]:
    """The condition embedders by name, and the network's parameters that follow from them.

    Args:
        sections: The config of each by name.
        width: Of the label's embedding.
        channels: Of a sample as the network sees it.

    Returns:
        The conditions, and the sizes of a network's context.
    """
    parts: dict[str, Condition] = {}
    widths: Config = {}
    for name, section in sections.items():
        settings = {key: value for key, value in section.items() if key not in _TRAINING}
        # A vector is as wide as the label's embedding; what is made of the data has their channels.
        factory = conditions.get(settings["name"])
        parameters = inspect.signature(factory).parameters
        asked = parameters.get("width")
        if asked is not None and asked.default is asked.empty:
            settings["width"] = width
        if getattr(factory, "made_of_data", False) and "channels" in parameters:
            settings.setdefault("channels", channels)
        parts[name] = conditions.build(settings)
        # Channels stand side by side; vectors and tokens have one width for all conditions.
        for size, number in parts[name].sizes.items():
            before = widths.get(size, 0) if size == "spatial_channels" else 0
            widths[size] = before + number
    return parts, widths


def _parts(section: Config) -> int:
    """The parts of a condition that training hides one by one: of a mask its classes, and each of
    several numbers.
    """
    counted = {"mask": "classes", "numbers": "size"}
    if section["name"] in counted:
        return int(section.get(counted[section["name"]], 0))
    return int(getattr(conditions.get(section["name"]), "PARTS", 0))


_TRAINING = ("drop", "drop_each")  # of a condition, and no parameters of its embedding


def drops(config: Config) -> dict[str, float | Sequence[float]]:
    """The probability with which training drops each condition (``drop``); of a mask or a text also
    that of each of its classes, of its vector and its tokens, or of several numbers that of each,
    by itself after it: ``drop_each``, one number or one for each.
    """
    chances: dict[str, float | Sequence[float]] = {}
    for name, section in (config.get("conditions") or {}).items():
        whole = float(section.get("drop", 0.0))
        chances[name] = whole
        parts = _parts(section)
        if parts:
            each = section.get("drop_each", 0.0)
            chances[name] = [whole, *(each if isinstance(each, Sequence) else [each] * parts)]
    return chances
