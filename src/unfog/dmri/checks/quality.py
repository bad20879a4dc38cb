r"""What can be said of a denoised scan without its truth: signal to noise by shell, and whether
what was removed looks like noise.

The autocorrelation of white noise is 0 at every lag, to 1 / sqrt(pairs of values). What is removed
from it falls a little below 0, since denoising averages neighbours; edges and shapes in the
residual, or noise that the scanner correlated, lift it above.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.noise_level import autocorrelation
from unfog.dmri.gradients import GradientTable

LAGS = 4


class SignalToNoise(NamedTuple):
    """Medians over voxels of a shell's mean ``signal``, of that over the noise (``before``), and
    over the expected error (``after``).
    """

    signal: float
    before: float
    after: float


def signal_to_noise(
    signal: NDArray[Any],
    sigma: NDArray[Any],
    error: NDArray[Any],
    inside: NDArray[np.bool_],
    gradients: GradientTable,
) -> dict[str, SignalToNoise]:
    """Of each shell of a denoised ``signal`` (X, Y, Z, volumes) by its b-value, b = 0 first;
    ``sigma`` and ``error`` (X, Y, Z).
    """
    shells = {"0": np.flatnonzero(gradients.b0)} | {
        f"{b:.0f}": volumes for b, volumes in gradients.shells().items()
    }
    least = np.finfo(np.float32).tiny
    found = {}
    for name, volumes in shells.items():
        if len(volumes):
            mean = np.mean([signal[..., k][inside] for k in volumes], 0)
            ratios = (mean / np.maximum(level[inside], least) for level in (sigma, error))
            found[name] = SignalToNoise(
                float(np.median(mean)), *(float(np.median(r)) for r in ratios)
            )
    return found


def residual_autocorrelation(
    residual: NDArray[Any], inside: NDArray[np.bool_], gradients: GradientTable
) -> tuple[dict[str, list[float]], float]:
    """Of the weighted volumes of ``residual`` (X, Y, Z, volumes), each voxel's mean out, by axis at
    lags 1 to 4; and white noise's.
    """
    weighted = residual[..., ~gradients.b0]
    left = torch.from_numpy(weighted - weighted.mean(-1, keepdims=True))
    rows = autocorrelation(left, torch.from_numpy(inside), LAGS)
    white = 1 / math.sqrt(max(1, int(inside.sum()) * weighted.shape[-1]))
    return {
        axis: [round(float(value), 4) for value in row]
        for axis, row in zip("xyz", rows, strict=True)
    }, white
