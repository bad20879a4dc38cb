"""How large the parts of a config are, found by their outline before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from unfog.errors import InputError
from unfog.files.room import SHARE, free_memory, gigabytes

BYTES = 4  # of a number in float32
T = TypeVar("T", bound=nn.Module)
SPARE = 1_000_000  # numbers that weights may leave to what is not learned


def outlined(build: Callable[[], T], weights: int | None = None) -> T:
    """The outline of a network, without memory, once it is found to fit into memory and to its
    weights.

    Args:
        build: Makes the network.
        weights: Numbers in the file of its weights, where there is one.

    Returns:
        The network on torch's device "meta".

    Raises:
        InputError: It is larger than the free memory, or than its weights.
    """
    with torch.device("meta"):
        outline = build()
    numbers = sum(tensor.numel() for tensor in outline.state_dict().values())
    if weights is not None and numbers > 2 * weights + SPARE:
        raise InputError(
            f"config.yaml describes {numbers} numbers and the weights hold {weights}; restore both "
            "from one source."
        )
    free = free_memory()
    if free is not None and BYTES * numbers > SHARE * free:
        raise InputError(
            f"The config describes a network of {numbers} numbers ({gigabytes(BYTES * numbers)}), "
            f"and {gigabytes(SHARE * free)} of memory can be had; lower its channels, width or "
            "depth."
        )
    return outline
