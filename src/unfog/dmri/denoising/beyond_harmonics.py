r"""The part of a shell's signal that the prior's harmonics cannot represent, as low rank estimates
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.noise_level import smooth
from unfog.dmri.shells import Shell


def beyond_harmonics(first: Denoised, shell: Shell, inside: NDArray[Any]) -> NDArray[np.float32]:
    """What low rank kept of a shell beyond harmonics of order 4, weighted by Wiener's rule (Lim &
    Oppenheim 1979):

        w R,   R = S - P S,   P = B (B^T B)^-1 B^T,   w = max(0, 1 - |n|^2 / |R|^2),

    where |R|^2 is a Gaussian average over voxels, and |n|^2 the noise in R. Low rank leaves noise
    only in the scan's principal axes A (volumes, r), of mean square e^2 over m volumes; spread
    evenly over them, the share tr(A^T (1 - P) A) / r of it lies beyond the harmonics, so |n|^2 =
    e^2 m tr(A^T (1 - P) A) / r. At low b there is hardly any signal in R; at b = 3000 s/mm^2 and
    little noise most of R is signal, which a prior of order 4 alone would take away.

    Args:
        first: The scan denoised by low rank.
        shell: The shell.
        inside: (X, Y, Z), the voxels to average over.

    Returns:
        w R, (X, Y, Z, N), to be added to what the prior gives.
    """
    project = (shell.matrix @ torch.linalg.pinv(shell.matrix)).numpy()
    axes = first.noise.components.axes.numpy()
    # tr(A^T (1 - P) A) / r, and |n|^2.
    outside = (
        float(np.square(axes[shell.volumes] - project @ axes[shell.volumes]).sum()) / axes.shape[1]
    )
    noise = np.square(first.expected_error) * first.signal.shape[3] * outside
    signal = first.signal[..., shell.volumes]
    # R, and |R|^2 averaged over voxels.
    rest = signal - signal @ project.astype(np.float32)
    power = smooth(
        torch.from_numpy(np.square(rest).sum(-1)), torch.from_numpy(np.asarray(inside) > 0)
    ).numpy()
    weight = np.clip(1 - noise / np.maximum(power, np.finfo(np.float32).tiny), 0, 1)
    return np.asarray(weight[..., None] * rest, dtype=np.float32)
