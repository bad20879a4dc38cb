r"""Signals at directions that were not measured, with their standard deviations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.beyond_harmonics import beyond_harmonics, own_weights
from unfog.dmri.denoising.blind import in_harmonics, predict
from unfog.dmri.denoising.classical import Array, Denoised
from unfog.dmri.denoising.held_out import HeldOut, held_out
from unfog.dmri.denoising.ridge import ridge
from unfog.dmri.gradients import GradientTable, as_table
from unfog.dmri.harmonics import count
from unfog.dmri.masks import measured_inside, voxels_inside
from unfog.dmri.shells import basis, same_shells, shells
from unfog.progress import Report

SCATTER = 0.02  # of b, within a shell
FEWEST = count(2)  # directions in a shell: what determines order 2
# of low rank's expected error, what is left after the prior: the median over 22 simulated scans of
# the measured error over the expected one
LEFT = 0.91
LARGEST = 1.25  # of the misfit at directions held out, beyond which the deviation is widened
SAME = 0.1  # degrees within which two axes count as the same


@dataclass(frozen=True)
class Completed:
    """``signal`` and its standard deviation ``std``, both (X, Y, Z, volumes of the target), 0
    outside the mask.

    ``check`` are the errors at directions held out, None where there were none to spare. Where the
    prior's is worse there than ridge regression's, ``signal`` is ridge regression's.
    """

    signal: Array
    std: Array
    check: HeldOut | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.dmri.notebook import completed_html

        return completed_html(self)


def complete(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: Any,
    target: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    report: Report | None = None,
) -> Completed:
    """Predict the volumes of another gradient table from a scan.

        nu, e <- low rank (``unfog.dmri.denoising.classical``);
        c = E[coefficients | nu] (``unfog.dmri.denoising.blind``);   S(u) = b(u)^T c,
        std(u)^2 = b(u)^T (B^T B / s^2 + L^-1)^-1 b(u),
        s = .91 e sqrt(N / 15) for N >= 15 directions, or .91 e,

    with b(u) the harmonics, B those of the N directions measured, and L the variances of
    coefficients in simulation: Gaussian regression, where the errors that low rank leaves at the
    measured directions spread through the coefficients to every direction, most where none was
    measured nearby. The posterior covariance of the prior itself takes what low rank leaves for
    white noise, which it is not: on 16 simulated scans the errors at directions not measured were
    1.1 to 4 times that deviation.

    A direction that was measured gets what ``denoise`` gives it, with the signal beyond the
    harmonics (``unfog.dmri.denoising.beyond_harmonics``).

    Args:
        denoiser: The prior, of shells x (16, X, Y, Z).
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table, of unfog or of DIPY.
        target: The table to predict, of unfog or of DIPY.
        mask: (X, Y, Z); everywhere without one.
        coils: How many were combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        report: Called as ``report(done, total)``.

    Returns:
        The target's volumes and their standard deviations.

    Raises:
        InputError: The target has a shell that was not measured, or a measured shell fewer than 6
            directions.
    """
    table, at = as_table(gradients), as_table(target)
    check_target(table, at)
    mask = measured_inside(mask, data)
    first = classical.denoise(data, table, mask, coils=coils, unbias=unbias)
    return completed(denoiser, first, table, at, mask, report=report)


def check_target(table: GradientTable, at: GradientTable) -> None:
    """`InputError` where a scan under a ``table`` cannot predict volumes under ``at``.

    Called before a scan is read or denoised.
    """
    same_shells(shells(table, least=FEWEST), at)


def completed(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    at: GradientTable,
    mask: NDArray[Any] | None = None,
    *,
    report: Report | None = None,
) -> Completed:
    """Predict the volumes of another gradient table from a scan denoised by low rank.

    Args:
        denoiser: The prior.
        first: The scan denoised by low rank.
        table: The scan's table.
        at: The table to predict.
        mask: (X, Y, Z); everywhere without one.
        report: Called as ``report(done, total)``.

    Returns:
        The volumes of ``at`` and their standard deviations.
    """
    inside = voxels_inside(mask, first.sigma.shape)
    # Directions held out tell whether the prior knows such a scan; else ridge regression predicts.
    check = held_out(partial(_by_prior, denoiser), first, table, inside, FEWEST)
    signal, std = _by_prior(denoiser, first, table, at, inside, report)
    if check is not None and check.prior_is_worse:
        signal, std = _by_ridge(first, table, at, inside, signal, check.missed_by_ridge)
    elif check is not None and check.misfit > LARGEST:
        std = std * check.misfit
    signal, std = (np.where(inside[..., None], x, 0).astype(np.float32) for x in (signal, std))
    return Completed(signal, std, check)


def _by_prior(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    at: GradientTable,
    inside: NDArray[np.bool_],
    report: Report | None = None,
) -> tuple[Array, Array]:
    """Signals and deviations (X, Y, Z, volumes of ``at``) by the prior."""
    own = own_weights(first, table, inside)
    signal = predict(denoiser, first, table, at, inside, least=FEWEST, report=report)
    measured, std = (
        shells(table, least=FEWEST),
        np.repeat(first.expected_error[..., None], len(at), -1),
    )
    scale = float(np.median(first.signal[inside][:, table.b0].mean(1)))
    for k, volumes in same_shells(measured, at):
        # s, on the scale of the simulation, and std(u).
        error = torch.from_numpy(LEFT * first.expected_error / scale) * in_harmonics(
            len(measured[k].volumes)
        )
        std[..., volumes] = (
            scale * measured[k].variance_at(basis(at.directions[volumes]), error).sqrt().numpy()
        )
        # Measured directions get the signal beyond the harmonics.
        same = _same_axes(at.directions[volumes], table.directions[measured[k].volumes])
        signal[..., volumes] += beyond_harmonics(first, measured[k], inside) @ same.T
        # And a measured volume that differs from its shell stays as low rank has it.
        kept = own[..., measured[k].volumes]
        there = (kept * first.signal[..., measured[k].volumes]) @ same.T
        signal[..., volumes] += there - (kept @ same.T) * signal[..., volumes]
        ratio = at.bvals[volumes] / measured[k].b
        ratio[np.abs(ratio - 1) < SCATTER] = 1  # as far as measured volumes of a shell scatter
        signal[..., volumes] = at_own_b(signal[..., volumes], first.signal[..., table.b0], ratio)
    return signal, std


def _by_ridge(
    first: Denoised,
    table: GradientTable,
    at: GradientTable,
    inside: NDArray[np.bool_],
    signal: Array,
    missed: float,
) -> tuple[Array, Array]:
    """``signal`` with the volumes of shells by ridge regression on the data instead, and deviations
    of ``missed`` times the noise.
    """
    measured, signal = shells(table, least=FEWEST), signal.copy()
    std = np.repeat(first.expected_error[..., None], len(at), -1)
    for k, volumes in same_shells(measured, at):
        known = measured[k].volumes
        signal[inside, volumes[:, None]] = ridge(
            first.measured[inside][:, known], table.directions[known], at.directions[volumes]
        ).T
        std[..., volumes] = missed * first.noise.level.numpy()[..., None]
    return signal, std


def at_own_b(signal: Array, b0: Array, ratio: NDArray[np.float64]) -> Array:
    """Signals of a shell as they are at b-values near the shell's: S_0 (S / S_0)^(b / b_shell),
    exact where the decay is exponential.

    Args:
        signal: (X, Y, Z, n), at the shell's b.
        b0: (X, Y, Z, volumes at b = 0).
        ratio: (n,), b / b_shell of each volume.

    Returns:
        (X, Y, Z, n); the signal itself where it or b = 0 is not above zero.
    """
    s0 = b0.mean(-1, keepdims=True)
    decays = (signal > 0) & (s0 > 0)
    share = np.where(decays, signal, 1) / np.where(decays, s0, 1)
    return np.where(decays, s0 * share**ratio, signal).astype(np.float32)


def _same_axes(a: NDArray[np.float64], b: NDArray[np.float64]) -> Array:
    """Weights (m, n) that give each of ``a`` (m, 3) the mean over those of ``b`` (n, 3) on the same
    axis, or 0 where there is none.
    """
    same = np.abs(a @ b.T) > np.cos(np.radians(SAME))
    return np.asarray(same / np.maximum(same.sum(1, keepdims=True), 1), dtype=np.float32)
