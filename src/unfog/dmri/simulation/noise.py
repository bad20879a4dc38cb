r"""Noise of magnitude scans: Rician or non-central chi, of any level in space, white or correlated
between neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.random import normal
from unfog.errors import InputError

MOST = 2**-0.5  # the limit of lag-1 correlation


def add_magnitude_noise(
    signal: Tensor,
    sigma: Tensor | float,
    generator: torch.Generator,
    coils: int = 1,
    correlation: Sequence[float] = (0, 0, 0),
) -> Tensor:
    """Add noise to signals as a scanner makes it.

    The signal is spread evenly over n coils, noise enters the real and the imaginary part of each,
    and the magnitude is their sum of squares:

        y = sqrt( sum_c |S / sqrt n + sigma (z_c + i z'_c)|^2 ),   E[y^2] = S^2 + 2 n sigma^2.

    Args:
        signal: (volumes, X, Y, Z), without noise.
        sigma: Deviation in every real and imaginary part, a number or (X, Y, Z).
        generator: Draws the noise.
        coils: n.
        correlation: Of the noise at lag 1 along x, y and z.

    Returns:
        Magnitudes, (volumes, X, Y, Z).

    Raises:
        InputError: Fewer than one coil, or a correlation beyond 0.70.
    """
    if coils < 1:
        raise InputError(f"A magnitude is combined from 1 coil or more, not {coils}.")
    power, part = torch.zeros_like(signal), signal / math.sqrt(coils)
    for _ in range(coils):
        power += (part + sigma * correlated_normal(signal, generator, correlation)) ** 2
        power += (sigma * correlated_normal(signal, generator, correlation)) ** 2
    return power.sqrt()


def correlated_normal(
    like: Tensor, generator: torch.Generator, correlation: Sequence[float] = (0, 0, 0)
) -> Tensor:
    """Standard normal noise, correlated between neighbours: white noise under the kernel (a, 1, a)
    along an axis, scaled to unit variance, with lag-1 correlation rho = 2 a / (1 + 2 a^2).

    Args:
        like: (volumes, X, Y, Z), of which the noise takes shape and type.
        generator: Draws the noise.
        correlation: rho along x, y and z, at most 2^-1/2.

    Returns:
        (volumes, X, Y, Z).

    Raises:
        InputError: A correlation beyond 0.70.
    """
    # Two more voxels along each axis that is smoothed.
    sides = [side + 2 * (rho != 0) for side, rho in zip(like.shape[1:], correlation, strict=True)]
    noise = normal((len(like), *sides), generator, like)
    for axis, rho in enumerate(correlation, 1):
        if rho:
            a, side = _kernel(rho), like.shape[axis]
            before, here, after = (noise.narrow(axis, k, side) for k in range(3))
            noise = (here + a * (before + after)) / math.sqrt(1 + 2 * a * a)
    return noise


def _kernel(rho: float) -> float:
    """a of the kernel (a, 1, a) with the lag-1 correlation ``rho``."""
    if not abs(rho) < MOST:
        raise InputError(
            f"The lag-1 correlation of noise lies between -0.70 and 0.70, not {rho:g}."
        )
    return (1 - math.sqrt(1 - 2 * rho**2)) / (2 * rho)
