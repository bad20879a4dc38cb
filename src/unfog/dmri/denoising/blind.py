r"""Denoising a scan of magnitudes whose noise is not known, by low rank and then by the prior.

    nu, e <- low rank (``unfog.dmri.denoising.classical``) and its expected error;
    answer = E[x_0 | nu] under the prior, for noise e sqrt(N / 15),

averaged over half turns of the scan (``unfog.dmri.denoising.half_turns``). Two things are put back:
what is left of the data, averaged over similar voxels (``unfog.dmri.denoising.twicing``), and the
signal beyond the prior's harmonics (``unfog.dmri.denoising.beyond_harmonics``).

The expected error remains that of low rank, which the prior only lowers: the prior's own estimate
is for the noise level it was given, and too small here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.beyond_harmonics import beyond_harmonics, own_weights
from unfog.dmri.denoising.classical import Array, Denoised
from unfog.dmri.denoising.half_turns import OverHalfTurns
from unfog.dmri.denoising.posterior_mean import NoisyShell, measure, posterior_means
from unfog.dmri.denoising.twicing import twiced
from unfog.dmri.gradients import GradientTable, as_table
from unfog.dmri.harmonics import count
from unfog.dmri.masks import measured_inside, voxels_inside
from unfog.dmri.shells import ORDER, left_out, shells, signals
from unfog.progress import Report


def has_enough_directions(table: GradientTable) -> bool:
    """Whether the prior can take a shell of the table: order 4 needs 15 directions, and b = 0."""
    return len(left_out(table)) < int((~table.b0).sum()) and bool(table.b0.any())


def denoise_blind(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    report: Report | None = None,
) -> Denoised:
    """Denoise magnitudes by low rank and the prior; by low rank alone the shells that have fewer
    than 15 directions.

    Args:
        denoiser: The prior, of shells x (16, X, Y, Z).
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table, of unfog or of DIPY.
        mask: (X, Y, Z), where to denoise; everywhere without one.
        coils: How many were combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        report: Called as ``report(done, total)``, for low rank and again for the prior.

    Returns:
        Signal, noise level and expected error.
    """
    table, mask = as_table(gradients), measured_inside(mask, data)
    first = classical.denoise(data, table, mask, coils=coils, unbias=unbias, report=report)
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
    """Denoise further by the prior what low rank gave.

    Args:
        denoiser: The prior.
        first: The scan denoised by low rank.
        table: The scan's table, a shell of which has 15 directions or more.
        mask: (X, Y, Z); outside it the signal stays as it was.
        report: Called as ``report(done, total)``.

    Returns:
        ``first`` with the new signal.
    """
    inside = voxels_inside(mask, first.sigma.shape)
    # Volumes in no shell of enough directions stay as low rank left them.
    volumes = np.setdiff1d(np.arange(len(table)), left_out(table))
    signal = first.signal.copy()
    own = own_weights(first, table, inside)
    signal[..., volumes] = predict(denoiser, first, table, table[volumes], inside, report=report)
    for shell in shells(table):
        signal[..., shell.volumes] += beyond_harmonics(first, shell, inside)
    # What a volume has of its own stays as low rank has it.
    signal += own * (first.signal - signal)
    signal[~inside] = first.signal[~inside]
    return replace(first, signal=signal)


def refine_by_group(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    group: NDArray[np.int64],
    mask: NDArray[Any] | None = None,
    *,
    report: Report | None = None,
) -> Denoised:
    """Denoise further, each group of volumes by itself, what low rank gave for all together.

    Volumes of two phase encodings share little more than their noise and most of their contrast:
    low rank, which takes what is alike wherever it is, errs less on all together, but harmonics
    hold in one geometry alone.

    Args:
        denoiser: The prior.
        first: The whole scan denoised by low rank.
        table: The scan's table.
        group: (volumes,), the number of each volume's group.
        mask: (X, Y, Z); outside it the signal stays as it was.
        report: Called as ``report(done, total)``, for each group anew.

    Returns:
        ``first`` with the new signal. A group without b = 0, or without a shell of 15 directions,
        stays as low rank left it.
    """
    signal = first.signal.copy()
    for number in np.unique(group):
        volumes = np.flatnonzero(group == number)
        if has_enough_directions(table[volumes]):
            part = _of_volumes(first, volumes)
            signal[..., volumes] = refine(
                denoiser, part, table[volumes], mask, report=report
            ).signal
    return replace(first, signal=signal)


def _of_volumes(first: Denoised, volumes: NDArray[np.int64]) -> Denoised:
    """Some of the volumes of a denoised scan, with their rows of the principal axes, each as long
    as if the axes' noise lay in these volumes alone.
    """
    components, at = first.noise.components, torch.from_numpy(volumes)
    share = len(volumes) / first.signal.shape[3]
    some = components._replace(
        mean=components.mean[at], axes=components.axes[at] / math.sqrt(share)
    )
    return replace(
        first,
        signal=first.signal[..., volumes],
        measured=first.measured[..., volumes],
        noise=first.noise._replace(components=some),
    )


def in_harmonics(directions: int) -> float:
    """sqrt(N / 15), the factor from low rank's error e on N ``directions`` to the prior's noise
    level; 1 where N < 15.

    What low rank leaves of the noise lies in what it takes for signal, and so in the 15 harmonics
    that the prior sees: as much error in their coefficients as white noise of deviation e sqrt(N /
    15) in the signals would make.
    """
    return float(max(1.0, directions / count(ORDER)) ** 0.5)


def as_noisy_shells(
    first: Denoised, table: GradientTable, mask: NDArray[Any] | None, least: int
) -> tuple[list[NoisyShell], float]:
    """Low rank's answer as noisy shells, for the prior to denoise.

    Args:
        first: The scan denoised by low rank.
        table: The scan's table.
        mask: (X, Y, Z); outside it the error counts as the root mean square inside.
        least: The fewest directions a shell may have.

    Returns:
        The shells, and the scale that signals were divided by.

    Raises:
        InputError: A shell has too few directions.
    """
    inside = voxels_inside(mask, first.sigma.shape)
    most = max((len(volumes) for volumes in table.shells().values()), default=0)
    level = first.expected_error * in_harmonics(most)
    level = np.where(inside, level, np.sqrt(np.mean(np.square(level[inside]))))
    # The prior needs a noise level above 0, also for a scan without noise.
    level = np.maximum(level, 1e-6 * float(np.abs(first.signal).max()))
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
    """The signals that the prior expects at the volumes of a table, given a scan denoised by low
    rank.

    Args:
        denoiser: The prior.
        first: The scan denoised by low rank, with the data it was given.
        table: The scan's table.
        at: The table to predict; its shells are among those of the scan.
        mask: (X, Y, Z), the voxels to learn from.
        least: The fewest directions a measured shell may have.
        report: Called as ``report(done, total)``.

    Returns:
        (X, Y, Z, volumes of ``at``), the part of the signal in harmonics up to order 4.
    """
    # Everything on the prior's scale.
    scans, scale = as_noisy_shells(first, table, mask, least)
    data, noise = torch.from_numpy(first.measured) / scale, first.noise.level / scale
    inside, estimates = torch.from_numpy(voxels_inside(mask, first.sigma.shape)), []
    # Posterior means, with what they leave of the data averaged over similar voxels and added.
    for scan, x in zip(scans, posterior_means(OverHalfTurns(denoiser), scans, report), strict=True):
        estimates.append(
            (scan.shell, twiced(x, scan.shell.residual(data, x), noise * scan.shell.level, inside))
        )
    return np.asarray((scale * signals(estimates, at)).numpy())
