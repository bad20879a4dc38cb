"""Arrays of raw data whose axes the user names, brought into the order that is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

AXES = ("slices", "coils", "depth", "rows", "columns")


def arranged(
    path: Path, arrays: dict[str, NDArray[Any]], text: str, dims: int
) -> dict[str, NDArray[Any]]:
    """k-space (slices, coils, *space) of a file with other axes, and its mask and maps alike.

    Args:
        path: The file, for errors.
        arrays: Its arrays by name; maps of the coils have k-space's axes, perhaps without slices.
        text: The axes of k-space as stored, such as "rows,columns,coils"; those of space must be
            there, slices and coils may be.
        dims: The number of axes of space, 2 or 3.

    Returns:
        The arrays, those called kspace, sensitivities and mask in the order of ``AXES``.

    Raises:
        InputError: The names are unknown or missing, or as many as no array has axes.
    """
    names = [name.strip() for name in text.lower().split(",")]
    space = AXES[-dims:]
    known = (*AXES[:2], *space)
    if len(set(names)) < len(names) or not set(space) <= set(names) <= set(known):
        raise InputError(
            f"--axes names the axes of k-space as stored, {', '.join(space)} and where it has "
            f"them slices and coils, each once, not {text!r}."
        )
    kspace = arrays.get("kspace")
    if kspace is not None and kspace.ndim != len(names):
        raise InputError(
            f"{path.name} has k-space {kspace.shape} and --axes names {len(names)} axes; name all."
        )
    without = [name for name in names if name != "slices"]
    ordered = dict(arrays)
    for name, array in arrays.items():
        if name == "kspace":
            ordered[name] = _ordered(array, names, known)
        elif name == "sensitivities" and array.ndim in (len(names), len(without)):
            all_there = array.ndim == len(names)
            ordered[name] = _ordered(array, names if all_there else without, known)
        elif name == "mask" and array.ndim == dims:
            ordered[name] = _ordered(array, [one for one in names if one in space], space)
    return ordered


def _ordered(array: NDArray[Any], names: Sequence[str], order: Sequence[str]) -> NDArray[Any]:
    """The array with its axes, ``names``, in ``order``; those that it lacks have length 1."""
    there = [name for name in order if name in names]
    turned = array.transpose([names.index(name) for name in there])
    sizes = dict(zip(there, turned.shape, strict=True))
    return np.ascontiguousarray(turned).reshape([sizes.get(name, 1) for name in order])
