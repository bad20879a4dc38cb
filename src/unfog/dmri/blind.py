r"""A scan of magnitudes of unknown noise, denoised by low rank and then by the prior.

    nu, e <- low rank (``unfog.dmri.classical``) and its expected error;     answer = E[x_0 | nu] under the prior, for noise e sqrt(N / 15)

What low rank leaves of the noise, of root mean square e over N directions, lies in what it takes for signal, and so in the 15 harmonics
that the prior sees: as much error in their coefficients as white noise of deviation e sqrt(N / 15) in the signals would make.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri import classical
from unfog.dmri.denoise import Estimate, denoise
from unfog.dmri.gradients import as_table
from unfog.dmri.harmonics import count
from unfog.dmri.simulate import ORDER
from unfog.dmri.tiles import Report


def denoise_blind(
    denoiser: Denoiser, data: NDArray[Any], gradients: Any, mask: NDArray[Any] | None = None, *, coils: int = 1, seed: int = 0,
    report: Report | None = None,
) -> Estimate:  # fmt: skip
    """Magnitudes ``data`` (X, Y, Z, volumes) of ``coils`` with nothing known of their noise; ``gradients`` of unfog or of DIPY."""
    table = as_table(gradients)
    first = classical.denoise(data, table, mask, coils=coils)
    most = max((len(volumes) for volumes in table.shells().values()), default=0)
    level = first.expected_error * max(1.0, most / count(ORDER)) ** 0.5
    least = 1e-6 * float(np.abs(data).max())  # a scan without noise has some for the prior
    return denoise(denoiser, first.signal, table, np.maximum(level, least), mask, seed=seed, report=report)
