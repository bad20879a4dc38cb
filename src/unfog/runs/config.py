"""Configs: the parts and settings of a run as plain data; see docs/design.md for an example.

A config is a mapping of sections. Most sections name a part, ``{name: unet, channels: 64}``, and
their other keys are the parameters of that part. So every key can be checked before anything is
built, and the message for a wrong one names the nearest right one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.core.bound import decoders
from unfog.core.codec import codecs
from unfog.core.conditions import conditions
from unfog.core.label import labels
from unfog.core.low_resolution import degradations
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.registry import Registry, unknown
from unfog.core.space import spaces
from unfog.core.variance import variances
from unfog.data import datasets
from unfog.data.augment import augmentations
from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.output import write_text
from unfog.networks import networks
from unfog.networks.autoencoder import autoencoders
from unfog.networks.generator import generators
from unfog.networks.joint_encoder import joint_encoders
from unfog.networks.layers.positions import positions
from unfog.runs.feature_maps import features
from unfog.sampling import grids, samplers
from unfog.systems.registry import Config
from unfog.text import readers
from unfog.training.objectives import consistency, objectives
from unfog.training.objectives.losses import weights
from unfog.training.objectives.times import times, uniforms
from unfog.training.settings import TrainSettings

SECTIONS = (
    "system",
    "data",
    "shape",
    "codec",
    "text",
    "process",
    "prediction",
    "variance",
    "label",
    "network",
    "autoencoder",
    "joint_encoder",
    "generator",
    "encoder",
    "conditions",
    "objective",
    "augment",
    "training",
    "sampling",
    "teacher",
    "start",
    "from",
    "lora",
    "space",
    "format",
    "voxel",
)

# The registry of the part at each dotted path; * is any name.
_PARTS: dict[str, Registry[Any]] = {
    "data": datasets,
    "codec": codecs,
    "text": readers,
    "process": processes,
    "prediction": predictions,
    "variance": variances,
    "label": labels,
    "network": networks,
    "autoencoder": autoencoders,
    "joint_encoder": joint_encoders,
    "generator": generators,
    "network.positions": positions,
    "conditions.*": conditions,
    "conditions.*.degradation": degradations,
    "objective": objectives,
    "objective.times": times,
    "objective.features": features,
    "objective.weight": weights,
    "objective.draws": uniforms,
    "objective.decoder": decoders,
    "objective.descent": consistency.descents,
    "augment": augmentations,
    "space": spaces,
    "sampling.sampler": samplers,
    "sampling.grid": grids,
}
# Parameters of parts that ``runs.build`` and the objective fill in, never a config.
_FILLED_IN = {
    "in_channels",
    "out_channels",
    "shape",
    "teacher",
    "process",
    "drop",
    "space",
    "mask",
}
# Names of a call's own, which no condition may have.
_TAKEN = {"x", "x_t", "t", "mask"}
# Keys that no override may set, because they follow from the system, the data and the runs.
_FIXED = {
    "system",
    "shape",
    "format",
    "voxel",
    *(f"{run}.{key}" for run in ("teacher", "start") for key in ("run", "sha256")),
    *("from.pipeline", "from.sha256", "lora.rank"),
    "codec.sha256",
    "text.sha256",
    "encoder.sha256",
}


def load_config(path: Path) -> Config:
    """The config in a YAML file, its sections checked."""
    config = yaml.read(path)
    if not isinstance(config, dict):
        raise InputError(
            f"{path} is not a config: it must be a mapping of sections, like 'training: {{steps: "
            f"100}}'."
        )
    for section in config:
        if section not in SECTIONS:
            raise unknown(f"section in {path}", section, SECTIONS)
    return config


def save_config(config: Mapping[str, Any], path: Path) -> None:
    """Write a config as YAML."""
    write_text(path, yaml.dump(dict(config)), overwrite=True)


def apply_overrides(config: Mapping[str, Any], pairs: Sequence[str]) -> Config:
    """The config with ``key=value`` pairs applied; a key is dotted, a value is YAML.

    A new name empties its section, since another part takes other keys; names are therefore set
    before other keys. ``conditions.NAME.name`` adds a condition that is made of the data. An
    unknown key, or a value of another kind, is an ``InputError``.

    >>> apply_overrides({"training": {"batch": 128, "lr": 2.0e-4}}, ["training.batch=32"])
    {'training': {'batch': 32, 'lr': 0.0002}}
    """
    result: Config = copy.deepcopy(dict(config))
    for key, value in sorted(map(_parse, pairs), key=lambda pair: not pair[0].endswith(".name")):
        present = {name: value for name, value in settings(result).items() if name not in _FIXED}
        if key not in present and _add_condition(result, key, value):
            continue
        if key not in present:
            same_ending = [name for name in present if name.endswith(f".{key}")]
            raise unknown("setting", key, same_ending or present)
        *parents, last = key.split(".")
        section = result
        for name in parents:
            section = section[name]
        value = _typed(key, value, present[key])
        if last == "name" and value != section["name"]:
            section.clear()
        section[last] = value
    settings(result)  # a name that no part has is an error now, not after the data is read
    return result


def _add_condition(config: Config, key: str, value: Any) -> bool:
    """Whether the setting is ``conditions.NAME.name`` of a condition that there is not yet, whose
    section is then added; ``InputError`` for one whose values the data would have to bring.
    """
    parents, _, last = key.rpartition(".")
    section, _, name = parents.partition(".")
    if section not in config or (section, last) != ("conditions", "name"):
        return False
    if not name.isidentifier() or name in _TAKEN:
        raise InputError(f"A condition is named by one word, such as 'hole', not by {name!r}.")
    if not getattr(conditions.get(str(value)), "made_of_data", False):
        raise InputError(
            f"The data bring no condition {name!r} of kind {value!r}; only one that is made of the "
            "data themselves can be added: inpainting or low-resolution."
        )
    config[section][name] = {"name": value, "drop": 0.0}
    return True


def settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every dotted key that can be set, with its present value.

    These are the keys of the config and the parameters of its parts that it leaves at their
    defaults. ``prefix`` is the dotted path of ``config`` within the whole.
    """
    values: dict[str, Any] = {}
    for key, default in _parameters(config, prefix).items():
        values[f"{prefix}.{key}"] = default
    for key, value in config.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            values |= settings(value, path)
        else:
            values[path] = value
            if value is not None and (registry := _registry(path)):
                registry.get(value)  # a bare name: InputError where no part has it
    return values


def _parameters(section: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The parameters that a config may set of the part at ``path``, with their defaults (None where
    there is none).
    """
    registry = _registry(path)
    if path == "training":
        factory: Callable[..., Any] = TrainSettings
    elif path == "sampling":
        # Of the estimate, on the model's scale; towards text; of molecules; of a vocoder; of means.
        return dict.fromkeys(("clip", "guidance", "sizes", "properties", "begin", "mirrored"))
    elif registry is not None and "name" in section:
        factory = registry.get(section["name"])
    else:
        return {}
    parameters = inspect.signature(factory).parameters.values()
    if registry is conditions:
        # What has no default follows from the data.
        free = {p.name: p.default for p in parameters if p.default is not p.empty}
        return {"drop": 0.0, **free}
    return {
        p.name: None if p.default is p.empty else p.default
        for p in parameters
        if p.name not in _FILLED_IN
    }


def _registry(path: str) -> Registry[Any] | None:
    """The registry of the part at a dotted path; None where there is no part."""
    section, _, rest = path.partition(".")
    if section == "conditions" and rest:
        path = ".".join(["conditions", "*", *rest.split(".")[1:]])
    return _PARTS.get(path)


def _parse(pair: str) -> tuple[str, Any]:
    """The dotted key and the value of ``key=value``."""
    key, equals, text = pair.partition("=")
    if not equals or not key.strip():
        raise InputError(f"A setting is key=value, like training.batch=32, not {pair!r}.")
    return key.strip(), yaml.parse(text, f"The value of {key.strip()}")


def _typed(key: str, value: Any, present: Any) -> Any:
    """``value`` as a value of the kind of ``present``, else ``InputError``. A real number counts as
    whole where it is, and a whole one as real.
    """
    if present is None or value is None:
        return value  # the part itself knows whether it can do without
    if isinstance(present, bool) or isinstance(value, bool):
        fits = isinstance(present, bool) and isinstance(value, bool)
    elif isinstance(present, int) and isinstance(value, float):
        fits, value = value.is_integer(), int(value) if value.is_integer() else value
    elif isinstance(present, float) and isinstance(value, int):
        fits, value = True, float(value)
    else:
        fits = isinstance(value, type(present)) or (
            isinstance(present, tuple) and isinstance(value, list)
        )
    if not fits or value != value:  # NaN is no setting
        raise InputError(f"{key} takes a value like {present!r}, not {value!r}.")
    return value
