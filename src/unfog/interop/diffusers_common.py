"""What all translations of diffusers' models share: folders, settings, and tensors by name."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.files import json_text

Config = Mapping[str, Any]
WEIGHTS = "diffusion_pytorch_model.safetensors"


def given(
    weights: Mapping[str, Tensor] | nn.Module, config: Config | None
) -> tuple[dict[str, Tensor], Config]:
    """The state dictionary and configuration of a model that is given as such, or as both;
    `InputError` for a state dictionary without a configuration.
    """
    if isinstance(weights, nn.Module):
        model: Any = weights
        return dict(weights.state_dict()), config or dict(model.config)
    if config is None:
        raise InputError(
            "A diffusers state dictionary comes with its configuration; give the contents of "
            "config.json."
        )
    return dict(weights), config


def check_fixed(kind: str, fixed: Mapping[str, tuple[Any, ...]], config: Config) -> None:
    """`InputError` where a setting has another value than those that a network has built in.

    Args:
        kind: what the network is called.
        fixed: the values that are read, by setting.
        config: diffusers' configuration.
    """
    for key, allowed in fixed.items():
        if key in config and config[key] not in allowed:
            raise InputError(
                f"A diffusers {kind} with {key} = {config[key]!r} cannot be read; it must be "
                f"{allowed[0]!r}."
            )


def check_known(kind: str, known: Collection[str], config: Config) -> None:
    """`InputError` that names the settings which are none of those that are read.

    Args:
        kind: what the network is called.
        known: the settings that are read; those that only say where a model comes from, or for what
            size, are let pass.
        config: diffusers' configuration.
    """
    unknown = [key for key in config if key not in known and not key.startswith("_")]
    unknown = [key for key in unknown if key != "sample_size" and config[key] is not None]
    if unknown:
        raise InputError(
            f"A diffusers {kind} with {', '.join(sorted(unknown))} cannot be read: nothing here "
            "does what that asks for; leave it out of config.json if it changes nothing."
        )


def number(kind: str, config: Config, key: str, default: float | None = None) -> float:
    """A setting that is a number above 0.

    Args:
        kind: what the settings are of.
        config: diffusers' configuration.
        key: the setting.
        default: where the configuration is silent.

    Returns:
        The number, a whole one where it is written so.

    Raises:
        InputError: it is missing, of another type, not finite, or not above 0.
    """
    value = default if config.get(key) is None else config[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(
            f"{key} of a diffusers {kind} is a number above 0, not {value!r}; fetch its "
            "configuration again."
        )
    return value


def whole(kind: str, config: Config, key: str, default: int | None = None) -> int:
    """A setting that is a whole number above 0; ``InputError`` where it is another."""
    value = number(kind, config, key, default)
    if int(value) != value:
        raise InputError(f"{key} of a diffusers {kind} is a whole number, not {value!r}.")
    return int(value)


DIFFUSERS = "diffusers weights"  # what tensors are called in messages


def take(source: dict[str, Tensor], names: Sequence[str], what: str = DIFFUSERS) -> Tensor:
    """Tensors of these names, taken out of ``source`` and concatenated.

    Args:
        source: tensors by name.
        names: those that are taken.
        what: what the tensors are called in messages.

    Returns:
        The tensors end to end along their first axis.

    Raises:
        InputError: one is missing.
    """
    missing = [name for name in names if name not in source]
    if missing:
        raise InputError(f"The {what} have no {missing[0]!r}, which their configuration asks for.")
    return torch.cat([source.pop(name) for name in names]) if len(names) > 1 else source.pop(*names)


def shaped(value: Tensor, shape: Sequence[int], name: str, what: str = DIFFUSERS) -> Tensor:
    """A tensor in a given shape.

    Args:
        value: the tensor.
        shape: its shape.
        name: what it is called in messages.
        what: what all tensors are called there.

    Returns:
        The tensor, in that shape.

    Raises:
        InputError: it has other numbers.
    """
    count = torch.Size(shape).numel()
    if value.numel() != count:
        raise InputError(
            f"The {what} {name!r} have {value.numel()} numbers where their "
            f"configuration asks for {count}."
        )
    return value.reshape(shape)


def check_all_taken(source: Mapping[str, Tensor], what: str = DIFFUSERS) -> None:
    """`InputError` where tensors are left over."""
    if source:
        raise InputError(
            f"The {what} have {min(source)!r}, which their configuration does not ask for."
        )


def model_folder(path: str | Path, part: str) -> Path:
    """A model's own folder: ``path``, or its ``part`` where that is a pipeline's."""
    folder = Path(path)
    return folder / part if (folder / "model_index.json").exists() else folder


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and configuration in a model's folder."""
    config, weights = folder / "config.json", folder / WEIGHTS
    for file in (config, weights):
        if not file.exists():
            raise InputError(
                f"{file} does not exist; a diffusers model folder has config.json and {WEIGHTS}."
            )
    settings: dict[str, Any] = json_text.read(config)
    return load_file(weights), settings


def write_folder(path: str | Path, state: dict[str, Tensor], config: Config) -> None:
    """Write a model's folder, which is made if it does not exist.

    Args:
        path: the folder.
        state: its weights.
        config: its configuration.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(dict(config), indent=2) + "\n")
