"""Whether the sections of a config are what parts can be built of: tables, and a sample's shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.core.ranges import EXTENT
from unfog.errors import InputError
from unfog.files.room import require_room

TABLES = (
    *("data", "codec", "process", "prediction", "label", "network", "autoencoder"),
    *("joint_encoder", "generator", "conditions", "objective", "augment", "training", "sampling"),
)
OTHERS = ("autoencoder", "joint_encoder", "generator")  # of which one stands for a denoiser
DENOISER = ("process", "prediction", "label", "network")
AXES = 5  # at most, channels among them


def check_sections(config: Mapping[str, Any], file: Path) -> None:
    """Hold a config's sections to what they must be.

    Args:
        config: The config.
        file: Where it comes from, for errors.

    Raises:
        InputError: A section is missing or no table, or the shape is none that memory could hold.
    """
    needed = ("shape", "codec", "training", *(() if any(map(config.get, OTHERS)) else DENOISER))
    needed = ("training",) if "lora" in config else needed  # the rest is its pipeline's
    for name in needed:
        if name not in config:
            raise InputError(f"{file.name} lacks the section {name!r}; restore it from a copy.")
    for name in TABLES:
        if name in config and not isinstance(config[name], Mapping):
            optional = name in ("conditions", "data") and config[name] is None
            if not optional:
                raise InputError(f"The section {name!r} of {file.name} must be a table of keys.")
    if type(config["training"].get("seed")) is not int:
        raise InputError(f"training.seed of {file.name} must be a whole number.")
    if "shape" in config:
        _check_shape(config["shape"], file)
    for name, part in (config.get("conditions") or {}).items():
        if not isinstance(part, Mapping) or "name" not in part:
            raise InputError(
                f"The condition {name!r} of {file.name} must be a table with a 'name'."
            )
        drop = part.get("drop", 0.0)
        if isinstance(drop, bool) or not isinstance(drop, int | float) or not 0 <= drop <= 1:
            raise InputError(
                f"The 'drop' of the condition {name!r} in {file.name} must be from 0 to 1."
            )


def _check_shape(shape: object, file: Path) -> None:
    """``InputError`` unless this is a shape (channels, *space) that fits into memory."""
    sizes = shape if isinstance(shape, list | tuple) else []
    sound = all(type(size) is int and EXTENT.holds(size) for size in sizes)
    if not (1 <= len(sizes) <= AXES and sound):
        raise InputError(
            f"The shape of {file.name} must be 1 to {AXES} whole numbers {EXTENT}: channels, and "
            "the sizes of a sample's axes."
        )
    require_room(file, "shape", 4 * math.prod(sizes))
