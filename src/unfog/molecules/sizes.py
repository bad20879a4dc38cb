"""How many atoms molecules have: the prior of sizes (Hoogeboom et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError


def size_prior(sizes: NDArray[np.int64], largest: int) -> list[float]:
    """The probability of each size from 0 to ``largest``, as the data have it."""
    counts = np.bincount(sizes, minlength=largest + 1)
    return [float(c) for c in counts / counts.sum()]


def draw_sizes(prior: Sequence[float], ids: Sequence[int], seed: int = 0) -> list[int]:
    """A size for each sample; sample k's depends on (seed, k) alone.

    Args:
        prior: The probability of each size, from 0 on.
        ids: The samples' numbers.
        seed: The seed.

    Returns:
        The sizes.
    """
    ends = torch.tensor(prior, dtype=torch.float64).cumsum(0)
    points = [
        torch.rand((), generator=generator(seed, "size", k), dtype=torch.float64) for k in ids
    ]
    return [int(torch.searchsorted(ends, point * ends[-1], right=True)) for point in points]


def masks_of(sizes: Sequence[int], atoms: int) -> Tensor:
    """The masks of molecules of these sizes, (molecules, 1, atoms) bool; ``InputError`` for a size
    that the model does not take.
    """
    for size in sizes:
        if not 1 <= size <= atoms:
            raise InputError(f"A molecule of this model has 1 to {atoms} atoms, not {size}.")
    return torch.arange(atoms).expand(len(sizes), 1, -1) < torch.tensor(sizes)[:, None, None]
