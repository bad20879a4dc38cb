r"""What low rank keeps of single volumes that the prior, which sees a shell's harmonics and the
mean of b = 0, cannot represent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.noise_level import smooth
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import Shell, usable_shells

Array = NDArray[np.float32]
# The least power of one volume's remainder, over its noise and over the other volumes', that counts
# as signal of its own: averages over few voxels scatter.
CLEARLY = 3.0


def beyond_harmonics(first: Denoised, shell: Shell, inside: NDArray[Any]) -> Array:
    """What low rank kept of a shell beyond harmonics of order 4, weighted by Wiener's rule (Lim &
    Oppenheim 1979):

        w R,   R = S - P S,   P = B (B^T B)^-1 B^T,   w = max(0, 1 - |n|^2 / |R|^2),

    where |R|^2 is a Gaussian average over voxels, and |n|^2 the noise in R. At low b there is
    hardly any signal in R; at b = 3000 s/mm^2 and little noise most of R is signal, which a prior
    of order 4 alone would take away.

    Args:
        first: The scan denoised by low rank.
        shell: The shell.
        inside: (X, Y, Z), the voxels to average over.

    Returns:
        w R, (X, Y, Z, N), to be added to what the prior gives.
    """
    rest, noise, power = _remainder(first, shell.volumes, _projection(shell), inside)
    return _wiener(noise.sum(-1), power.sum(-1))[..., None] * rest


def own_weights(first: Denoised, table: GradientTable, inside: NDArray[Any]) -> Array:
    """How far each volume clearly differs from the others of its kind: by motion, drift, its phase
    encoding, or a slice that dropped out.

        w_k = max(0, 1 - 3 max(|n_k|^2, m) / |R_k|^2),

    with R as in ``beyond_harmonics``, of volumes at b = 0 about their mean, and m the median of
    |R|^2 over the volumes of a shell. By these weights low rank's answer stands in place of the
    prior's, S_k + w_k (low rank_k - S_k), so that each volume keeps what topup and eddy need of it.

    Args:
        first: The scan denoised by low rank.
        table: The scan's table.
        inside: (X, Y, Z), the voxels to average over.

    Returns:
        w, (X, Y, Z, volumes), from 0 to 1; 0 where the harmonics leave no remainder.
    """
    own = np.zeros_like(first.signal)
    for shell in usable_shells(table, None):
        if len(shell.volumes) == shell.matrix.shape[1]:
            continue  # the harmonics leave no remainder
        _, noise, power = _remainder(first, shell.volumes, _projection(shell), inside)
        noise = np.maximum(noise, np.median(power, -1, keepdims=True))
        own[..., shell.volumes] = _wiener(CLEARLY * noise, power)
    if b0 := int(table.b0.sum()):
        mean = np.full((b0, b0), 1 / b0)
        _, noise, power = _remainder(first, np.flatnonzero(table.b0), mean, inside)
        own[..., table.b0] = _wiener(CLEARLY * noise, power)
    return own


def _projection(shell: Shell) -> NDArray[Any]:
    return np.asarray((shell.matrix @ torch.linalg.pinv(shell.matrix)).numpy())


def _remainder(
    first: Denoised, volumes: NDArray[np.int64], project: NDArray[Any], inside: NDArray[Any]
) -> tuple[Array, Array, Array]:
    """R = S - P S of some volumes, the mean square of the noise in each, and R's own, averaged over
    voxels: (X, Y, Z, n) each.

    Low rank leaves noise only in the scan's principal axes A (volumes, r), of mean square e^2 over
    m volumes. Spread evenly over the axes, |(1 - P) A|^2 / r of it, row by row, is that of R.
    """
    axes = first.noise.components.axes.numpy()
    outside = np.square(axes[volumes] - project @ axes[volumes]).sum(1) / axes.shape[1]
    total = np.square(first.expected_error) * first.signal.shape[3]
    signal = first.signal[..., volumes]
    rest = signal - signal @ project.astype(np.float32).T
    where = torch.from_numpy(np.asarray(inside) > 0)
    power = smooth(torch.from_numpy(np.square(rest)), where).numpy()
    return rest, total[..., None] * outside.astype(np.float32), power


def _wiener(noise: Array, power: Array) -> Array:
    """max(0, 1 - noise / power)."""
    share = 1 - noise / np.maximum(power, np.finfo(np.float32).tiny)
    return np.clip(share, 0, 1).astype(np.float32)
