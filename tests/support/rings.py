"""A diffusion scan whose truth is written down: fibres that run around a ring in grey matter."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.core.random import generator
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.noise import add_magnitude_noise


class Ring(NamedTuple):
    """``signal`` (X, Y, Z, volumes) of tensors, ``direction`` (X, Y, Z, 3) along the voxels,
    ``fibrous`` (X, Y, Z).
    """

    signal: NDArray[np.float64]
    direction: NDArray[np.float64]
    fibrous: NDArray[np.bool_]


def make_ring(gradients: GradientTable, shape: tuple[int, int, int] = (40, 40, 10)) -> Ring:
    x, y, _ = (axis - (side - 1) / 2 for axis, side in zip(np.indices(shape), shape, strict=True))
    radius = np.hypot(x, y)
    direction = np.stack([-y, x, 0 * x], -1) / radius[..., None]
    fibrous = (radius > 0.3 * shape[0]) & (radius < 0.49 * shape[0])
    along = np.where(fibrous, 1.7e-3, 0.8e-3)[..., None]
    across = np.where(fibrous, 0.3e-3, 0.8e-3)[..., None]
    exponent = across + (along - across) * (direction @ gradients.directions.T) ** 2
    return Ring(
        np.where(fibrous, 1.0, 1.2)[..., None] * np.exp(-gradients.bvals * exponent),
        direction,
        fibrous,
    )


def with_noise(
    signal: NDArray[Any],
    sigma: Any,
    seed: int = 0,
    coils: int = 1,
    correlation: tuple[float, ...] = (0, 0, 0),
) -> NDArray[Any]:
    """(X, Y, Z, volumes) float32 magnitudes."""
    clean = torch.from_numpy(signal).float().movedim(3, 0)
    return (
        add_magnitude_noise(clean, sigma, generator(seed, "noise"), coils, correlation)
        .movedim(0, 3)
        .contiguous()
        .numpy()
    )
