r"""The noise of a scan from differences between its volumes, without the Marchenko-Pastur law's
choice of components.

Within a shell the signal is a smooth function of direction, so the combinations of volumes that are
orthogonal to the harmonics up to an even order L hold noise alone:

    d = Q^T y,   Q^T Y = 0,   Q^T Q = 1,   Var d = sigma^2,

N - (L + 1) (L + 2) / 2 images of noise from N directions, of the volumes at b = 0 all differences
from their mean. What differs between volumes for another cause (motion, drift, reversed phase
encoding) is shared by many voxels: principal axes of d that stand out above the others of their
shell are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri import harmonics
from unfog.dmri.denoising.low_rank import above_noise
from unfog.dmri.denoising.noise_level import Noise, autocorrelation_of, smooth
from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError

ORDERS = (4, 6, 8)  # of harmonics that hold a shell's signal
FEWEST = 5  # differences that a shell must leave
ENOUGH = 1.25  # how far an axis must stand above the edge of noise to be left out
ROUNDS = 2
ROUNDING = 1e-6  # of the largest value: less than it is no noise


def can_take_differences(table: GradientTable) -> bool:
    """Whether a table has a shell of 20 directions or more, whose differences hold no signal."""
    return any(matrix is not None for _, matrix in _differences(table, weighted=True))


def estimate_by_differences(x: Tensor, inside: Tensor, table: GradientTable) -> Noise:
    """Estimate the noise of a scan from differences within its shells.

    Args:
        x: (X, Y, Z, volumes).
        inside: (X, Y, Z), the head.
        table: The scan's, of which ``can_take_differences`` holds.

    Returns:
        The noise, averaged over volumes as ``estimate_noise`` gives it, and the principal
        components that stand above it; 0 where there is no more than rounding.

    Raises:
        InputError: The mask is empty.
    """
    if not bool(inside.any()):
        raise InputError("The mask is empty; mark the voxels to look at with values other than 0.")
    rows, level = x[inside], torch.ones(int(inside.sum()), dtype=x.dtype)
    rounding = (ROUNDING * rows.abs().max()) ** 2
    for _ in range(ROUNDS):
        # The variance at each voxel in each shell, and over the shells as these have volumes.
        shells = [
            (len(volumes), _variance(rows[:, volumes] @ matrix.to(rows), level))
            for volumes, matrix in _differences(table)
            if matrix is not None
        ]
        total = sum(count for count, _ in shells)
        mean = torch.stack([count / total * variance for count, variance in shells]).sum(0)
        variance = torch.zeros(inside.shape, dtype=x.dtype)
        variance[inside] = torch.where(mean > rounding, mean, 0.0)
        whole = smooth(variance, inside).clamp(min=0).sqrt()
        level = torch.where(whole[inside] > 0, whole[inside], 1.0)
    components = above_noise(rows / level[:, None], 1.0)
    correlation = autocorrelation_of(components, x, torch.where(whole > 0, whole, 1.0), inside)
    return Noise(whole, correlation, components, "differences")


def _variance(differences: Tensor, level: Tensor) -> Tensor:
    """The variance of a shell's ``differences`` (n, k) at each voxel, (n,), without the axes that
    stand out once they are divided by the ``level`` (n,).
    """
    even = differences / level[:, None]
    values, axes = torch.linalg.eigh((even.T @ even).double() / len(even))
    # Noise alone stays below its edge (1 + sqrt(k / n))^2 over the middle one.
    edge = ENOUGH * (1 + math.sqrt(len(values) / len(even))) ** 2
    count = int((values <= edge * values.median()).sum())
    noise = axes[:, : max(count, 1)].to(differences)
    variance: Tensor = (differences @ noise).square().mean(1)
    return variance


def _differences(
    table: GradientTable, weighted: bool = False
) -> Iterator[tuple[NDArray[np.int64], Tensor | None]]:
    """The volumes of b = 0, unless only ``weighted`` ones are asked for, and of each shell, and the
    matrix Q (N, k) of their differences; None where there are too few.
    """
    b0 = np.flatnonzero(table.b0)
    if not weighted and len(b0):
        few = len(b0) <= FEWEST
        yield b0, None if few else _complement(torch.ones(len(b0), 1, dtype=torch.float64))
    for volumes in table.shells().values():
        # The highest order that leaves half of the volumes, or the lowest that leaves a few.
        count = len(volumes)
        orders = [k for k in ORDERS if harmonics.count(k) <= count / 2]
        order = orders[-1] if orders else ORDERS[0]
        directions = torch.from_numpy(table.directions[volumes])
        few = count - harmonics.count(order) < FEWEST
        yield volumes, None if few else _complement(harmonics.design(directions, order))


def _complement(matrix: Tensor) -> Tensor:
    """An orthonormal basis (N, N - rank) of what is orthogonal to the columns of (N, p)."""
    left, values, _ = torch.linalg.svd(matrix, full_matrices=True)
    rank = int((values > 1e-9 * values[0]).sum())
    basis: Tensor = left[:, rank:]
    return basis
