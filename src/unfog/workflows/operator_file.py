"""Operators in a file."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.raw import read_raw
from unfog.physics.linear import Operator, require_adjoint
from unfog.physics.registry import operators


def _filled(part: Any, folder: Path) -> Any:
    """The config of an operator with the numbers of the files it names."""
    if not isinstance(part, dict):
        return part
    named = {
        key: value
        for key, value in part.items()
        if isinstance(value, str) and value.lower().endswith(".npy")
    }
    return {
        **part,
        **{
            key: torch.from_numpy(read_raw(folder / value, key)[key])
            for key, value in named.items()
        },
    }


def read_operator(path: Path, measurement: Tensor, channels: int) -> Operator:
    """The operator in a file, self-tested on what it would measure: (n, channels', *space') of
    images of ``channels`` channels.
    """
    parts = yaml.read(path)
    parts = parts if isinstance(parts, list) else [parts]
    if not parts or not all(isinstance(part, dict | str) for part in parts):
        raise InputError(
            f"{path.name} must hold an operator, like {{name: blur, deviation: 1.5}}, or a list "
            "of them."
        )
    try:
        operator = reduce(
            lambda inner, outer: outer @ inner,
            [operators.build(_filled(part, path.parent)) for part in parts],
        )
        shape = operator.adjoint(measurement[:1]).shape
        fits = (
            shape[1] == channels and operator(torch.zeros(shape)).shape[1:] == measurement.shape[1:]
        )
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
