r"""What low rank kept of a shell beyond the harmonics that the prior knows, weighed by how much of
it is signal.

    R = S - P S,   P = B (B^T B)^-1 B^T;      w = max(0, 1 - |n|^2 / |R|^2)
    (Wiener; Lim & Oppenheim 1979)

Low rank leaves noise in the scan's principal axes A (volumes, r) alone, of mean square e^2 over m
volumes. Spread evenly over them, the share tr(A^T (1 - P) A) / r lies beyond the harmonics, so
|n|^2 = e^2 m tr(A^T (1 - P) A) / r. At low b there is hardly any signal to be found there; at b =
3000 s/mm^2 and little noise most of R is signal, and a prior to order 4 alone would take it away.
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
    """w R of a shell of what low rank gave, (X, Y, Z, N): |R|^2 is a Gaussian average over voxels
    ``inside`` (X, Y, Z).
    """
    project = (shell.matrix @ torch.linalg.pinv(shell.matrix)).numpy()
    axes = first.noise.components.axes.numpy()
    outside = (
        float(np.square(axes[shell.volumes] - project @ axes[shell.volumes]).sum()) / axes.shape[1]
    )
    noise = np.square(first.expected_error) * first.signal.shape[3] * outside
    signal = first.signal[..., shell.volumes]
    rest = signal - signal @ project.astype(np.float32)
    power = smooth(
        torch.from_numpy(np.square(rest).sum(-1)), torch.from_numpy(np.asarray(inside) > 0)
    ).numpy()
    weight = np.clip(1 - noise / np.maximum(power, np.finfo(np.float32).tiny), 0, 1)
    return np.asarray(weight[..., None] * rest, dtype=np.float32)
