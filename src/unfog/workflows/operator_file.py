"""Linear operators in a YAML file, of ``unfog restore --operator``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.raw import read_raw
from unfog.files.room import require_room
from unfog.physics.linear import Operator, require_adjoint
from unfog.physics.registry import operators

BYTES = 8  # of a number in float64


def read_operator(path: Path, measurement: Tensor, channels: int) -> Operator:
    """The operator in a file, one or a list of which the first is applied first.

    It is tested on the shape of the measurement, and its adjoint by the dot product.

    Args:
        path: The YAML file.
        measurement: y, (n, channels', *space').
        channels: The number of channels of the images x in y = A x.

    Returns:
        A.

    Raises:
        InputError: The file holds no operator, or one that does not make such measurements.
    """
    parts = _parts(path)
    _require_room(path, parts, measurement.shape)
    try:
        operator = _built(path, parts)
        # The adjoint of a measurement is an image, and the operator makes a measurement of it.
        shape = operator.adjoint(measurement[:1]).shape
        measured = operator(torch.zeros(shape)).shape if shape[1] == channels else None
        fits = measured is not None and measured[1:] == measurement.shape[1:]
    except (RuntimeError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        fits = False
    if not fits:
        raise InputError(
            f"The operator in {path.name} does not make the input's "
            f"{tuple(measurement.shape[1:])} of images of {channels} channel(s)."
        )
    require_adjoint(operator, shape)
    return operator


def read_operator_of(path: Path, shape: tuple[int, ...]) -> Operator:
    """The operator in a file, tested on samples of a shape (channels, *space).

    Raises ``InputError`` where the file holds none, or one that does not take such samples.
    """
    parts, x = _parts(path), torch.zeros(1, *shape)
    _require_room(path, parts, x.shape)
    try:
        operator = _built(path, parts)
        fits = operator.adjoint(operator(x)).shape == x.shape
    except (RuntimeError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        fits = False
    if not fits:
        raise InputError(f"The operator in {path.name} does not take samples of {shape}.")
    require_adjoint(operator, x.shape)
    return operator


def _parts(path: Path) -> list[Any]:
    """The configs of the operators in a file, in the order they act."""
    parts = yaml.read(path)
    parts = parts if isinstance(parts, list) else [parts]
    if not parts or not all(isinstance(part, dict | str) for part in parts):
        raise InputError(
            f"{path.name} must hold an operator, like {{name: blur, deviation: 1.5}}, or a list "
            "of them."
        )
    return parts


def _require_room(path: Path, parts: list[Any], shape: Sequence[int]) -> None:
    """``InputError`` where the sizes in an operator file ask for more than memory.

    Args:
        path: The file.
        parts: Its operators.
        shape: Of what they are applied to, (n, channels, *space).
    """
    values, axes = math.prod(shape), len(shape) - 2
    for part in parts:
        sizes = {key: _largest(part, key) for key in ("factor", "size", "deviation")}
        values *= math.ceil(max(1, sizes["factor"])) ** axes
        image = shape[1] * math.ceil(sizes["size"]) ** axes
        kernel = math.ceil(6 * sizes["deviation"] + 1) ** axes  # out to 3 deviations
        require_room(path, "its operators", BYTES * max(values, image, kernel))


def _largest(part: Any, key: str) -> float:
    """The largest number under a key of an operator's config; 0 where there is none."""
    held = part.get(key, 0) if isinstance(part, dict) else 0
    numbers = held if isinstance(held, list) else [held]
    return max((v for v in numbers if isinstance(v, int | float) and math.isfinite(v)), default=0)


def _built(path: Path, parts: list[Any]) -> Operator:
    """Their composition."""
    steps = [operators.build(_filled(part, path.parent)) for part in parts]
    return reduce(lambda inner, outer: outer @ inner, steps)


def _filled(part: Any, folder: Path) -> Any:
    """The config of an operator, with numbers in place of the names of .npy files in ``folder``."""
    if not isinstance(part, dict):
        return part
    numbers = {
        key: torch.from_numpy(read_raw(_beside(folder, key, value), key)[key])
        for key, value in part.items()
        if isinstance(value, str) and value.lower().endswith(".npy")
    }
    return {**part, **numbers}


def _beside(folder: Path, key: str, name: str) -> Path:
    """The file of that name in or below a folder; ``InputError`` where it lies elsewhere, by its
    name or by a link.
    """
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"The operator's {key!r} names {name!r}, outside the operator file's folder; put the "
            "array beside it."
        )
    return file
