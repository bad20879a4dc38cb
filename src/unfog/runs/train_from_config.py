"""Train what a config describes: its recipe, its parts and its objective."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from unfog.core.codec import Codec, LatentCodec, codecs
from unfog.core.codec import Identity as IdentityCodec
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.process import processes
from unfog.core.space import PLAIN, spaces
from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.networks.autoencoder import Autoencoder
from unfog.networks.generator import Generator
from unfog.networks.joint_encoder import JointEncoder
from unfog.networks.space_time_unet import TIME, SpaceTimeUNet
from unfog.networks.unet import UNet
from unfog.runs.build import (
    build,
    build_autoencoder,
    build_generator,
    build_joint_encoder,
    drops,
    is_autoencoder,
    is_generator,
    is_joint_encoder,
)
from unfog.runs.codec_section import codec_section
from unfog.runs.config import apply_overrides
from unfog.runs.embeddings import embedded, encoder_section
from unfog.runs.feature_maps import features
from unfog.runs.latents import Latents
from unfog.runs.machine import resolve
from unfog.runs.text_states import captioned, text_section
from unfog.systems import registry
from unfog.systems.registry import Config
from unfog.training import loop
from unfog.training.loop import Callback, TrainResult
from unfog.training.objectives import Objective, objectives
from unfog.training.processes import AUTO
from unfog.training.settings import TrainSettings


def configure(system: str, dataset: Dataset, data: Config, overrides: Sequence[str] = ()) -> Config:
    """The config of a system on a data set: its recipe with ``overrides`` applied.

    Args:
        system: A system by name.
        dataset: The data, whose shape and conditions the recipe looks at.
        data: The config's section for them.
        overrides: Settings, each "key=value".

    Returns:
        The config.
    """
    recipe = registry.get(system)
    # The codec first: the recipe looks at the shape of what it makes of the data.
    ours = [pair for pair in overrides if pair.strip().startswith("codec.")]
    # Vectors are embeddings already, whatever codec makes them of pictures.
    own = recipe.codec is None or len(dataset.shape) == 1
    kind = {"codec": dataset.codec if own else {"name": recipe.codec}}
    section = codec_section(apply_overrides(kind, ours)["codec"], dataset)
    latent = codecs.build(section).latent_shape(dataset.shape)
    # Then the text encoder, whose states are a condition of the data, and the joint encoder, whose
    # embeddings are another.
    words = [pair for pair in overrides if pair.strip().startswith("text.")]
    brought = {part["name"] for part in dataset.conditions.values()} & {"tokens", "sequence"}
    text = _text(None if brought or dataset.captions is None else recipe.text, words)
    chosen = [pair for pair in overrides if pair.strip().startswith("encoder.")]
    encoder = _encoder(recipe.encoder, chosen)
    told = embedded(captioned(dataset, text), encoder)
    config = recipe.config(with_shape(told, latent))
    config |= {"shape": list(dataset.shape), "codec": section, **text, **encoder}
    others = [pair for pair in overrides if pair not in {*ours, *words, *chosen}]
    config = apply_overrides({"system": config.pop("system"), "data": data, **config}, others)
    # A run keeps the precision that "auto" stands for here, so that resuming is bit-exact.
    points = math.prod(latent[1:])
    config["training"]["precision"] = resolve(config["training"]["precision"], points)
    return config


def _text(encoder: str | None, overrides: Sequence[str]) -> Config:
    """The text section of a config, as ``{"text": ...}``: of the recipe's encoder, or of the one
    that the overrides name; nothing where neither does.
    """
    if encoder is None and not overrides:
        return {}
    chosen = apply_overrides({"text": {"name": encoder or "minilm"}}, overrides)
    return {"text": text_section(chosen["text"])}


def _encoder(needed: bool, overrides: Sequence[str]) -> Config:
    """The encoder section of a config, as ``{"encoder": ...}``; nothing where the recipe needs no
    joint encoder.
    """
    if not needed:
        return {}
    chosen = apply_overrides({"encoder": {"run": None}}, overrides)
    return {"encoder": encoder_section(chosen["encoder"])}


def train_config(
    config: Config,
    dataset: Dataset,
    out: Path,
    *,
    start: NetworkDenoiser | None = None,
    teacher: NetworkDenoiser | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    track: Sequence[str] = (),
    parallel: str = AUTO,
) -> TrainResult:
    """Train what a config describes.

    Args:
        config: The config, complete.
        dataset: The training data.
        out: The run's folder.
        start: A denoiser whose weights training starts from; random ones by default. A U-Net may
            have more spatial channels than it: their weights start at zero.
        teacher: The denoiser that an objective of distillation asks for.
        resume: Whether to go on from the newest checkpoint in ``out``.
        callback: Called with (step, loss, steps a second) after each step.
        track: Trackers by name.
        parallel: How several processes train (``training.processes``).

    Returns:
        The last step, its loss and the number of updates.

    Raises:
        InputError: The weights of ``start`` do not fit, or as ``training.loop.train`` says.
    """
    settings = TrainSettings.of(config["training"])
    augment = augmentations.build(config["augment"])
    model, objective = model_of(config), objective_of(config, teacher)
    data, codec = training_data(config, dataset)
    if start is not None:
        try:
            model.load_state_dict(_start_weights(model, start))
        except RuntimeError as error:
            raise InputError(
                "The run to start from has another network or other conditions; set this one's "
                "alike."
            ) from error
    return loop.train(
        model,
        objective,
        data,
        augment,
        settings,
        out,
        config,
        codec=codec,
        resume=resume,
        callback=callback,
        track=track,
        parallel=parallel,
    )


def _start_weights(model: nn.Module, start: NetworkDenoiser) -> dict[str, torch.Tensor]:
    """The weights to start from, with zeros for spatial channels that they lack, which are a
    molecule's last features, and whose conditions begin as they are; for a space-time network what
    they lack along time: those layers as they begin; and what a picture lacks beside: conditions
    that add nothing.
    """
    weights, old, new = dict(start.state_dict()), start.network, getattr(model, "network", None)
    enter, entry = getattr(new, "enter", None), weights.get("network.enter.weight")
    if isinstance(enter, nn.Linear) and entry is not None and entry.ndim == 2:
        lacking = enter.in_features - entry.shape[1]
        weights["network.enter.weight"] = nn.functional.pad(entry, (0, max(0, lacking)))
    if isinstance(old, UNet) and isinstance(new, UNet):
        entry = "network.enter.weight"
        if old.input.spatial_channels < new.input.spatial_channels:
            weights[entry] = new.input.widened(weights[entry], old.input)
            own = {n: v for n, v in model.state_dict().items() if n.startswith("conditioner.")}
            weights = {**own, **weights}
    if isinstance(new, SpaceTimeUNet):
        fresh = model.state_dict()
        if isinstance(old, SpaceTimeUNet):
            fresh = {name: value for name, value in fresh.items() if TIME in name}
        elif "network.vector.weight" in fresh:
            fresh["network.vector.weight"] = torch.zeros_like(fresh["network.vector.weight"])
        weights = {**fresh, **weights}
    return weights


def model_of(config: Config) -> NetworkDenoiser | Autoencoder | JointEncoder | Generator:
    """What a config trains: a denoiser, an autoencoder, a joint encoder or a generator, with its
    initial weights.
    """
    if is_generator(config):
        return build_generator(config)
    if is_autoencoder(config):
        return build_autoencoder(config)
    return build_joint_encoder(config) if is_joint_encoder(config) else build(config).denoiser


def training_data(config: Config, dataset: Dataset) -> tuple[Dataset, Codec]:
    """The data as training reads them, and the codec that is left to apply: latents are read from
    the cache, unless they are augmented before they are encoded.
    """
    dataset = embedded(captioned(with_shape(dataset, config["shape"]), config), config)
    codec = codecs.build(config["codec"])
    if isinstance(codec, LatentCodec) and config["augment"]["name"] == "none":
        return Latents(dataset, codec), IdentityCodec()
    return dataset, codec


def with_shape(dataset: Dataset, shape: Sequence[int]) -> Dataset:
    """The data set as a recipe is to see it, with samples of another shape."""
    seen = copy.copy(dataset)
    seen.shape = tuple(shape)
    return seen


def objective_of(config: Config, teacher: NetworkDenoiser | None = None) -> Objective:
    """The training objective of a config. Where its factory has the parameters, it is given what
    no config can hold: the teacher, the process and the space of states.
    """
    if "objective" not in config:
        raise InputError("The config lacks the section 'objective', without which nothing trains.")
    section: Config = {"name": "denoising", **config["objective"]}
    parameters = inspect.signature(objectives.get(section["name"])).parameters
    if "drop" in parameters:
        section["drop"] = drops(config)
    if "teacher" in parameters and teacher is None:
        raise InputError(f"The objective {section['name']!r} needs a teacher; use unfog distill.")
    space = spaces.build(config.get("space") or "plain")
    if "space" not in parameters and space != PLAIN:
        raise InputError(
            f"The objective {section['name']!r} knows the plain space alone, and this run's states "
            f"live in {config['space']['name']!r}; take the objective 'denoising'."
        )
    shape = tuple(config["shape"])
    if is_autoencoder(config) or is_generator(config):  # what the codec makes of a sample
        shape = codecs.build(config["codec"]).latent_shape(shape)
    if "features" in section:
        section["features"] = features.build(section["features"], shape=shape)
    parts = {
        "teacher": teacher,
        "process": processes.build(config["process"]) if "process" in config else None,
        "space": space,
        "shape": shape,
    }
    extra = {name: part for name, part in parts.items() if name in parameters}
    return objectives.build(section, **extra)
