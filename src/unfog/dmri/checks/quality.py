r"""What can be said of a denoised scan without its truth: signal to noise by shell, and whether
what was removed looks like noise.
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
    """Signal to noise of one shell, medians over voxels: the mean ``signal`` over the shell's
    volumes, and that over the noise level (``before``) and over the expected error (``after``).
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
    """Signal to noise of each shell of a denoised scan.

    Args:
        signal: (X, Y, Z, volumes), denoised.
        sigma: (X, Y, Z), the noise level.
        error: (X, Y, Z), the expected error.
        inside: (X, Y, Z), the voxels to take medians over.
        gradients: The scan's table.

    Returns:
        By b-value as text, b = 0 first.
    """
    shells = {"0": np.flatnonzero(gradients.b0)} | {
        f"{b:.0f}": volumes for b, volumes in gradients.shells().items()
    }
    least = np.finfo(np.float32).tiny
    by_shell = {}
    for name, volumes in shells.items():
        if len(volumes):
            # The mean over the shell's volumes, and that over each level.
            mean = np.mean([signal[..., k][inside] for k in volumes], 0)
            ratios = (mean / np.maximum(level[inside], least) for level in (sigma, error))
            by_shell[name] = SignalToNoise(
                float(np.median(mean)), *(float(np.median(r)) for r in ratios)
            )
    return by_shell


def residual_autocorrelation(
    residual: NDArray[Any], inside: NDArray[np.bool_], gradients: GradientTable
) -> tuple[dict[str, list[float]], float]:
    """The autocorrelation of what denoising removed, in space.

    White noise has 0 at every lag, to 1 / sqrt(pairs of values). What is removed from white noise
    falls a little below 0, since denoising averages neighbours; edges and shapes in the residual,
    or noise that the scanner correlated, lift it above.

    Args:
        residual: (X, Y, Z, volumes), data less denoised; each voxel's mean over volumes is taken
            out.
        inside: (X, Y, Z), the voxels that count.
        gradients: The scan's table; only volumes with diffusion weighting count.

    Returns:
        The autocorrelation at lags 1 to 4 by axis, x, y and z, and the deviation of white noise's.
    """
    weighted = residual[..., ~gradients.b0]
    centred = torch.from_numpy(weighted - weighted.mean(-1, keepdims=True))
    rows = autocorrelation(centred, torch.from_numpy(inside), LAGS)
    white = 1 / math.sqrt(max(1, int(inside.sum()) * weighted.shape[-1]))
    return {
        axis: [round(float(value), 4) for value in row]
        for axis, row in zip("xyz", rows, strict=True)
    }, white
