r"""A scan of magnitudes of unknown noise, denoised by low rank and then by the prior.

    nu, e <- low rank (``unfog.dmri.denoising.classical``) and its expected error;
    answer = E[x_0 | nu] under the prior, for noise e sqrt(N / 15),

averaged over half turns of the scan (``unfog.dmri.denoising.half_turns``), with what alike voxels
share of the data left over (``unfog.dmri.denoising.twicing``) and the signal beyond the prior's
harmonics (``unfog.dmri.denoising.beyond_harmonics``) put back.

What low rank leaves of the noise, of root mean square e over N directions, lies in what it takes
for signal, and so in the 15 harmonics that the prior sees: as much error in their coefficients as
white noise of deviation e sqrt(N / 15) in the signals would make. The error to expect stays low
rank's, which the prior only lowers: the prior's own is of the noise it was told, and too small
here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.beyond_harmonics import beyond_harmonics
from unfog.dmri.denoising.classical import Array, Denoised
from unfog.dmri.denoising.half_turns import OverHalfTurns
from unfog.dmri.denoising.posterior_mean import NoisyShell, measure, posterior_means
from unfog.dmri.denoising.twicing import twiced
from unfog.dmri.gradients import GradientTable, as_table
from unfog.dmri.harmonics import count
from unfog.dmri.masks import voxels_inside
from unfog.dmri.shells import ORDER, shells, signals
from unfog.progress import Report


def has_enough_directions(table: GradientTable) -> bool:
    """Whether the prior can take every shell: order 4 needs 15 directions."""
    sizes = [len(volumes) for volumes in table.shells().values()]
    return bool(sizes) and min(sizes) >= count(ORDER)


def denoise_blind(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    report: Report | None = None,
) -> Denoised:
    """Magnitudes ``data`` (X, Y, Z, volumes) of ``coils`` with nothing known of their noise;
    ``gradients`` of unfog or of DIPY.

    By low rank alone where a shell has fewer than 15 directions.
    """
    table = as_table(gradients)
    first = classical.denoise(data, table, mask, coils=coils, report=report)
    return (
        refine(denoiser, first, table, mask, report=report)
        if has_enough_directions(table)
        else first
    )


def refine(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    mask: NDArray[Any] | None = None,
    *,
    report: Report | None = None,
) -> Denoised:
    """What low rank gave, after the prior; outside the mask as it was."""
    inside = voxels_inside(mask, first.sigma.shape)
    found = predict(denoiser, first, table, table, inside, report=report)
    for shell in shells(table):
        found[..., shell.volumes] += beyond_harmonics(first, shell, inside)
    found[~inside] = first.signal[~inside]
    return replace(first, signal=found)


def in_harmonics(directions: int) -> float:
    """sqrt(N / 15), over low rank's error on N ``directions``: the deviation of white noise that
    errs as much in 15 harmonics.
    """
    return float(max(1.0, directions / count(ORDER)) ** 0.5)


def as_noisy_shells(
    first: Denoised, table: GradientTable, mask: NDArray[Any] | None, least: int
) -> tuple[list[NoisyShell], float]:
    """Low rank's answer as noisy shells, and the scale its signals were divided by; outside the
    mask it errs as inside on average.
    """
    inside = voxels_inside(mask, first.sigma.shape)
    most = max((len(volumes) for volumes in table.shells().values()), default=0)
    level = first.expected_error * in_harmonics(most)
    level = np.where(inside, level, np.sqrt(np.mean(np.square(level[inside]))))
    level = np.maximum(
        level, 1e-6 * float(np.abs(first.signal).max())
    )  # a scan without noise has some for the prior
    return measure(first.signal, table, level, mask, least)


def predict(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    at: GradientTable,
    mask: NDArray[Any] | None = None,
    *,
    least: int = count(ORDER),
    report: Report | None = None,
) -> Array:
    """What the prior's harmonics say of the volumes of a table ``at``, (X, Y, Z, volumes), given
    low rank's answer and the data.
    """
    scans, scale = as_noisy_shells(first, table, mask, least)
    data, noise = torch.from_numpy(first.measured) / scale, first.noise.level / scale
    inside, found = torch.from_numpy(voxels_inside(mask, first.sigma.shape)), []
    for scan, x in zip(scans, posterior_means(OverHalfTurns(denoiser), scans, report), strict=True):
        found.append(
            (scan.shell, twiced(x, scan.shell.residual(data, x), noise * scan.shell.level, inside))
        )
    return np.asarray((scale * signals(found, at)).numpy())
