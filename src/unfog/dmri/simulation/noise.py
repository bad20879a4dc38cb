r"""Noise of magnitude scans: Rician or non-central chi, of any level in space, white or correlated
between neighbours.

The signal is spread evenly over n coils; noise enters the real and the imaginary part of each, and
the scanner keeps the length:

    y = sqrt( sum_c |S / sqrt n + sigma (z_c + i z'_c)|^2 ),   E[y^2] = S^2 + 2 n sigma^2.

Correlated noise is white noise under the kernel (a, 1, a) along an axis, scaled to unit variance,
with lag-1 correlation rho = 2 a / (1 + 2 a^2), so rho reaches 2^-1/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.random import normal
from unfog.errors import InputError

MOST = 2**-0.5


def add_magnitude_noise(
    signal: Tensor,
    sigma: Tensor | float,
    generator: torch.Generator,
    coils: int = 1,
    correlation: Sequence[float] = (0, 0, 0),
) -> Tensor:
    """Magnitudes of ``signal`` (volumes, X, Y, Z) under noise ``sigma``, a number or (X, Y, Z).

    ``correlation`` is the noise's, at lag 1 along x, y and z.
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
    """Standard normal noise shaped as ``like`` (volumes, X, Y, Z), with the given lag-1 correlation
    along x, y and z.
    """
    sides = [side + 2 * (rho != 0) for side, rho in zip(like.shape[1:], correlation, strict=True)]
    noise = normal((len(like), *sides), generator, like)
    for axis, rho in enumerate(correlation, 1):
        if rho:
            a, side = _kernel(rho), like.shape[axis]
            before, here, after = (noise.narrow(axis, k, side) for k in range(3))
            noise = (here + a * (before + after)) / math.sqrt(1 + 2 * a * a)
    return noise


def _kernel(rho: float) -> float:
    """a of (a, 1, a) for a lag-1 correlation."""
    if not abs(rho) < MOST:
        raise InputError(
            f"The lag-1 correlation of noise lies between -0.70 and 0.70, not {rho:g}."
        )
    return (1 - math.sqrt(1 - 2 * rho**2)) / (2 * rho)
