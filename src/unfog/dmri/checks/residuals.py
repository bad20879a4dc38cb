r"""What a denoiser removed, by shell, slice and volume, over the noise that was expected; and what
a scan's volumes at b = 0 say of its stability.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable

WIDEST, BINS = 5.0, 50  # of the histogram: deviations to either side, and bars
SPAN = 0.5  # of the scan, that volumes at b = 0 must reach over to tell a drift
FEWEST = 3  # volumes at b = 0 that have a deviation
Array = NDArray[Any]


class Removed(NamedTuple):
    """What was removed, over the noise level: its ``mean`` and ``deviation`` over a shell."""

    mean: float
    deviation: float


class Stability(NamedTuple):
    """What the volumes at b = 0 say: the ``drift`` of their mean by a straight line through all
    volumes, in % of the first value of the line; and the medians over the head of the mean over the
    deviation of each voxel, ``before`` and ``after`` denoising. None where there are too few, or
    those of the drift lie together.
    """

    drift: float | None
    before: float | None
    after: float | None


def over_noise(residual: Array, sigma: Array, inside: NDArray[np.bool_]) -> Array:
    """What was removed from the voxels ``inside``, over their noise.

    Args:
        residual: (X, Y, Z, volumes).
        sigma: (X, Y, Z).
        inside: (X, Y, Z).

    Returns:
        (n, volumes); 0 where there is no noise.
    """
    level = sigma[inside][:, None]
    return np.where(level > 0, residual[inside] / np.where(level > 0, level, 1), 0)


def by_shell(removed: Array, gradients: GradientTable) -> dict[str, Removed]:
    """The mean and the deviation of what was removed, (n, volumes) over the noise, in each shell,
    by b as text.
    """
    shells = {"0": np.flatnonzero(gradients.b0)} | {
        f"{b:.0f}": volumes for b, volumes in gradients.shells().items()
    }
    return {
        b: Removed(float(removed[:, volumes].mean()), float(removed[:, volumes].std()))
        for b, volumes in shells.items()
        if len(volumes) and len(removed)
    }


def by_slice(removed: Array, inside: NDArray[np.bool_]) -> Array:
    """The root mean square of what was removed, (n, volumes), in each axial slice of each volume,
    (Z, volumes); 0 in slices without a voxel inside (X, Y, Z).
    """
    places, count = np.argwhere(inside)[:, 2], inside.sum((0, 1))
    power = np.zeros((inside.shape[2], removed.shape[1]))
    np.add.at(power, places, np.square(removed))
    return np.asarray(np.sqrt(power / np.maximum(count, 1)[:, None]))


def histogram(removed: Array) -> tuple[Array, Array]:
    """The density of what was removed over the noise at the middles of bars up to 5 deviations to
    either side: the middles and the densities, (50,) each. What lies beyond is in neither.
    """
    edges = np.linspace(-WIDEST, WIDEST, BINS + 1)
    counts, _ = np.histogram(removed, edges)
    width = edges[1] - edges[0]
    return (edges[:-1] + edges[1:]) / 2, counts / max(removed.size, 1) / width


def stability(
    before: Array, after: Array, inside: NDArray[np.bool_], gradients: GradientTable
) -> Stability:
    """The drift and the steadiness of the volumes at b = 0.

    Args:
        before: (X, Y, Z, volumes), as acquired.
        after: (X, Y, Z, volumes), denoised.
        inside: (X, Y, Z), the voxels that count.
        gradients: The scan's table.

    Returns:
        The drift over the scan, and both ratios.
    """
    b0 = np.flatnonzero(gradients.b0)
    if len(b0) < 2 or not inside.any():
        return Stability(None, None, None)
    drift, last = None, len(gradients) - 1
    # A line is not carried far beyond the volumes that it goes through.
    if b0[-1] - b0[0] >= SPAN * last:
        slope, start = np.polyfit(b0, before[inside][:, b0].mean(0), 1)
        drift = float(100 * slope * last / start) if start > 0 else None
    if len(b0) < FEWEST:
        return Stability(drift, None, None)
    return Stability(drift, _steadiness(before[inside][:, b0]), _steadiness(after[inside][:, b0]))


def _steadiness(rows: Array) -> float | None:
    """The median of the mean over the deviation of rows (n, volumes) that are not constant."""
    deviation = rows.std(1, ddof=1)
    kept = deviation > 0
    return float(np.median(rows.mean(1)[kept] / deviation[kept])) if kept.any() else None
