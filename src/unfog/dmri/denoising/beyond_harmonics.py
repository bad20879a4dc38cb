r"""What low rank keeps of single volumes that the prior, which sees a shell's harmonics and the
mean of b = 0, cannot represent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.noise_level import smooth
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count
from unfog.dmri.shells import ORDER, Shell, usable_shells

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


def with_own(
    signal: Array, first: Denoised, shell: Shell | None, volumes: Any, inside: NDArray[Any]
) -> Array:
    """Low rank's answer in place of the prior's, as far as a volume clearly differs from the others
    of its kind: by motion, drift, or its phase encoding.

        S_k <- S_k + w_k (low rank_k - S_k),   w_k = max(0, 1 - 3 max(|n_k|^2, m) / |R_k|^2),

    with R as in ``beyond_harmonics``, of volumes at b = 0 about their mean, and m the median of
    |R|^2 over the volumes of a shell. So each keeps what topup and eddy need of it.

    Args:
        signal: The prior's answer, (X, Y, Z, volumes of the scan).
        first: The scan denoised by low rank.
        shell: The volumes' shell; None at b = 0.
        volumes: The volumes.
        inside: (X, Y, Z), the voxels to average over.

    Returns:
        The answer for these volumes, (X, Y, Z, n).
    """
    own = own_weights(first, shell, volumes, inside)
    return signal[..., volumes] + own * (first.signal[..., volumes] - signal[..., volumes])


def without_own(first: Denoised, table: GradientTable, inside: NDArray[Any]) -> Denoised:
    """A scan by low rank in which no volume disturbs the harmonics of its shell: one that clearly
    differs from the others is replaced, as far as it does, by what those say of it,

        S_k <- S_k - w_k R_k / (1 - P_kk),     the residual of a fit without volume k.

    Args:
        first: The scan denoised by low rank.
        table: The scan's table.
        inside: (X, Y, Z), the voxels to average over.

    Returns:
        The scan for the prior to see; signals and data are changed alike.
    """
    signal, measured = first.signal.copy(), first.measured.copy()
    for shell in usable_shells(table, count(ORDER) + 1):
        project = _projection(shell)
        rest, *_ = _remainder(first, shell.volumes, project, inside)
        change = own_weights(first, shell, shell.volumes, inside) * rest
        change = change / np.maximum(1 - np.diag(project), 0.1).astype(np.float32)
        signal[..., shell.volumes] -= change
        measured[..., shell.volumes] -= change
    return replace(first, signal=signal, measured=measured)


def own_weights(first: Denoised, shell: Shell | None, volumes: Any, inside: NDArray[Any]) -> Array:
    """The weights w of ``with_own``, which has the same arguments: (X, Y, Z, n), from 0 to 1."""
    n = len(volumes)
    project = np.full((n, n), 1 / n) if shell is None else _projection(shell)
    _, noise, power = _remainder(first, volumes, project, inside)
    if shell is not None:
        noise = np.maximum(noise, np.median(power, -1, keepdims=True))
    return _wiener(CLEARLY * noise, power)


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
