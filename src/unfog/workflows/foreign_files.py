"""Foreign files and folders, read: tensors by name, with their configuration where there is one."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.weight_files import read_header
from unfog.interop import pickles
from unfog.interop.diffusers_common import WEIGHTS
from unfog.interop.recognise import recognise

CONFIG, PIPELINE = "config.json", "model_index.json"
MODELS = ("unet", "transformer", "vae", "vqvae")  # parts of a pipeline, the denoiser first
TINY = ("encoder.safetensors", "decoder.safetensors")


@dataclass(frozen=True)
class Read:
    """What a file or folder holds.

    Args:
        weights: Tensors by name.
        config: The configuration beside them; None where there is none.
        format: The format that their names tell; None where none does.
        told: What is worth saying of how they were read.
        scheduler: The configuration of a pipeline's scheduler.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any] | None
    format: str | None
    told: dict[str, str] = field(default_factory=dict)
    scheduler: dict[str, Any] | None = None


def read_foreign(source: Path) -> Read:
    """What a foreign file or folder holds; ``InputError`` where it is none that can be read."""
    if source.is_dir():
        return _folder(source)
    if source.suffix in pickles.SUFFIXES:
        if not source.is_file():
            raise InputError(f"There is no file {source}.")
        with tempfile.TemporaryDirectory() as scratch:
            converted = Path(scratch) / "weights.safetensors"
            pickles.to_safetensors_file(source, converted)
            read = _file(converted, source)
        return Read(read.weights, read.config, read.format, {"read as": pickles.HOW})
    if source.suffix != ".safetensors":
        raise InputError(
            f"{source} is none of .safetensors, {', '.join(pickles.SUFFIXES)} or a folder."
        )
    return _file(source, source)


def _file(path: Path, source: Path) -> Read:
    """The tensors of a checked file, and the configuration beside ``source``."""
    header = read_header(path)
    telling = recognise(header.shapes)
    beside = source.with_name(CONFIG)
    config = _json(beside) if beside.is_file() else None
    weights = safetensors.torch.load_file(path)
    return Read(weights, config, telling.format or None if telling else None)


def _folder(source: Path) -> Read:
    """A folder of diffusers, of a model or a pipeline, or of a tiny autoencoder's two files."""
    if all((source / name).is_file() for name in TINY):
        for name in TINY:
            read_header(source / name)
        parts = {name.split(".")[0]: safetensors.torch.load_file(source / name) for name in TINY}
        weights = {f"{part}.{k}": v for part, held in parts.items() for k, v in held.items()}
        return Read(weights, None, "taesd")
    folder, scheduler = source, None
    if (source / PIPELINE).is_file():
        part = next((m for m in MODELS if (source / m / CONFIG).is_file()), None)
        if part is None:
            raise InputError(f"{source} holds none of {', '.join(MODELS)} with a {CONFIG}.")
        folder, held = source / part, source / "scheduler" / "scheduler_config.json"
        scheduler = _json(held) if held.is_file() else None
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}; give a folder of diffusers, one with {' and '.join(TINY)}"
                ", or a file of weights."
            )
    read = _file(folder / WEIGHTS, folder / WEIGHTS)
    return Read(read.weights, read.config, read.format or "diffusers", {}, scheduler)


def _json(path: Path) -> dict[str, Any]:
    """A JSON file of a table; ``InputError`` where it is another."""
    try:
        held = json_text.read(path)
    except ValueError as error:
        raise InputError(f"{path} is no JSON; fetch it again.") from error
    if not isinstance(held, dict):
        raise InputError(f"{path} holds no settings by name; fetch it again.")
    return held
