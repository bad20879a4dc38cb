"""Folders of diffusers' pipelines of Stable Diffusion 1.x, 2.x and XL, read part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unfog.core.conditions import VectorCondition
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.weight_files import read_header
from unfog.interop.diffusers_autoencoder import autoencoder_from_diffusers
from unfog.interop.diffusers_common import WEIGHTS, Config, number
from unfog.interop.diffusers_conditional import (
    CLASS,
    conditional_from_diffusers,
    single_file_names,
)
from unfog.interop.lora import UNET, Lora, flat_names, with_loras
from unfog.interop.pipeline_text import ENCODERS
from unfog.interop.pipeline_text import WEIGHTS as TEXT_WEIGHTS
from unfog.networks.autoencoder import Autoencoder
from unfog.networks.transformer_unet import TransformerUNet

INDEX, CONFIG, SCHEDULER = "model_index.json", "config.json", "scheduler_config.json"
XL = "StableDiffusionXLPipeline"
CLASSES = ("StableDiffusionPipeline", XL)
PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")


@dataclass(frozen=True)
class Pipeline:
    """The parts of a pipeline's folder but its text encoders.

    Args:
        index: The contents of model_index.json.
        unet: The U-Net.
        vector: The perceptron of its vector, of XL.
        options: The U-Net's arguments.
        size: Sides of its latents, as its configuration says.
        autoencoder: The autoencoder.
        scale: Of its latents.
        scheduler: The scheduler's configuration.
    """

    index: Config
    unet: TransformerUNet
    vector: VectorCondition | None
    options: Config
    size: int
    autoencoder: Autoencoder
    scale: float
    scheduler: Config

    @property
    def xl(self) -> bool:
        """Whether it is of Stable Diffusion XL."""
        return bool(self.index["_class_name"] == XL)


def is_pipeline(folder: str | Path) -> bool:
    """Whether a folder is one of a pipeline."""
    return (Path(folder) / INDEX).is_file()


def read_pipeline(folder: Path, loras: Sequence[tuple[Lora, float]] = ()) -> Pipeline:
    """The parts of a pipeline's folder; its text encoders' files are checked to be there.

    Args:
        folder: The folder.
        loras: Changes of its U-Net's weights, each with its share.

    Returns:
        The parts, their weights in float32.

    Raises:
        InputError: It is of another class, lacks a part, holds a part as a pickle, or a part does
            not fit its configuration.
    """
    index = require_pipeline(folder)
    doubled = index["_class_name"] == XL
    for tokeniser, encoder, _ in ENCODERS if doubled else ENCODERS[:1]:
        _require(folder, tokeniser, "tokenizer_config.json")
        _require(folder, encoder, CONFIG)
        _require(folder, encoder, TEXT_WEIGHTS)
    scheduler = read_json(_require(folder, "scheduler", SCHEDULER))
    weights, config = model_part(folder, "unet", CLASS)
    held, own = model_part(folder, "vae", "AutoencoderKL")
    try:
        if loras:
            names = flat_names(weights)
            for former, name in single_file_names(config).items():
                names.setdefault(former.removesuffix(".weight").replace(".", "_"), name)
            weights = with_loras(UNET, weights, loras, names)
        unet, vector, options = conditional_from_diffusers(weights, config)
        autoencoder = autoencoder_from_diffusers({k: v.float() for k, v in held.items()}, own)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    channels = (options["in_channels"], options["out_channels"])
    if channels != (own["latent_channels"],) * 2 or (vector is not None) != doubled:
        raise InputError(
            f"The U-Net in {folder} does not fit its pipeline: it takes {channels[0]} channels and "
            f"gives {channels[1]}, of latents of {own['latent_channels']}; a pipeline for text "
            "alone has as many of each."
        )
    size = config.get("sample_size") or 64
    if not isinstance(size, int):
        raise InputError(f"{folder}: the unet's sample_size is one number, not {size!r}.")
    scale = float(number("autoencoder", own, "scaling_factor", 1.0))
    return Pipeline(index, unet, vector, options, size, autoencoder, scale, scheduler)


def model_part(folder: Path, part: str, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a model in a pipeline; ``InputError`` where it is not of
    the class ``kind``.
    """
    config = read_json(_require(folder, part, CONFIG))
    path = _require(folder, part, WEIGHTS)
    if config.get("_class_name") != kind:
        raise InputError(
            f"{folder / part} holds a {config.get('_class_name')}; pipelines are read whose {part} "
            f"is a {kind}."
        )
    read_header(path)
    return safetensors.torch.load_file(path), config


def require_pipeline(folder: Path) -> dict[str, Any]:
    """The contents of model_index.json; ``InputError`` where it is of no class that is read."""
    if not (folder / INDEX).is_file():
        raise InputError(
            f"{folder} is no folder of a pipeline: there is no {INDEX} in it; give one as "
            "diffusers saves it."
        )
    index = read_json(folder / INDEX)
    if index.get("_class_name") not in CLASSES:
        raise InputError(
            f"{folder} is of the class {index.get('_class_name')}; the pipelines that are read are "
            f"{' and '.join(CLASSES)}."
        )
    return index


def _require(folder: Path, part: str, name: str) -> Path:
    """A file of a part; ``InputError`` where it is missing, or there as a pickle alone."""
    path = folder / part / name
    if path.is_file():
        return path
    pickled = [file for kind in PICKLES for file in (folder / part).glob(kind)]
    if name.endswith(".safetensors") and pickled:
        raise InputError(
            f"{pickled[0]} is a pickle, which may run code and is not read; save the pipeline with "
            "safe_serialization=True."
        )
    raise InputError(f"{path} is missing; a pipeline as diffusers saves it has one.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a table; ``InputError`` where it is another."""
    try:
        held = json_text.read(path)
    except ValueError as error:
        raise InputError(f"{path} is no JSON; fetch it again.") from error
    if not isinstance(held, dict):
        raise InputError(f"{path} holds no settings by name; fetch it again.")
    return held
