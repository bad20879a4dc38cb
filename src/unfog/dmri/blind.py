r"""A scan of magnitudes of unknown noise, denoised by low rank and then by the prior.

    nu, sigma <- low rank (``unfog.dmri.classical``);     y' = y - (E[y | nu, sigma] - nu);     answer = E[x_0 | y'] under the prior

Low rank says how strong the noise is and, being nearly without noise, by how much magnitudes lie too high. The prior is then given raw
data with that offset taken away, whose noise is still white, and not what low rank made of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri import classical
from unfog.dmri.denoise import Estimate, denoise
from unfog.dmri.gradients import as_table
from unfog.dmri.rician import without_bias
from unfog.dmri.tiles import Report


def denoise_blind(
    denoiser: Denoiser, data: NDArray[Any], gradients: Any, mask: NDArray[Any] | None = None, *, coils: int = 1, seed: int = 0,
    report: Report | None = None,
) -> Estimate:  # fmt: skip
    """Magnitudes ``data`` (X, Y, Z, volumes) of ``coils`` with nothing known of their noise; ``gradients`` of unfog or of DIPY."""
    first = classical.denoise(data, gradients, mask, coils=coils)
    y = without_bias(np.asarray(data, np.float32), first.signal, first.sigma[..., None], coils)
    least = 1e-6 * float(np.abs(data).max())  # a scan without noise has some for the prior
    return denoise(denoiser, y, as_table(gradients), np.maximum(first.sigma, least), mask, seed=seed, report=report)
