"""Diffusion MRI on arrays, with the shipped prior or another: the functions of ``unfog.dmri``.

Scans are (X, Y, Z, volumes) of magnitudes as they were acquired. A gradient table is unfog's or
DIPY's; its directions are along the voxel axes or in world axes, and those of the results are in
the same axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri.denoising import blind, classical
from unfog.dmri.denoising import complete as completion
from unfog.dmri.fibres import fod as orientations
from unfog.dmri.gradients import GradientTable, fsl_to_world
from unfog.errors import InputError
from unfog.progress import Report
from unfog.runs.machine import in_precision
from unfog.runs.run import Run

Prior = Denoiser | str  # a denoiser, or the name of a run


def gradients(bvals: ArrayLike, bvecs: ArrayLike, affine: ArrayLike | None = None) -> GradientTable:
    """A gradient table from arrays in FSL's convention (``gradient_files.read_fsl`` reads files).

    Args:
        bvals: b-values, (volumes,), in s/mm^2.
        bvecs: Directions, (volumes, 3) or FSL's own (3, volumes).
        affine: Of the scan, (4, 4): the directions are then in world axes. Without it they are
            taken as they are, along the voxel axes.

    Returns:
        The table.
    """
    values = np.atleast_1d(np.asarray(bvals, np.float64)).ravel()
    vectors = np.asarray(bvecs, np.float64)
    if vectors.shape == (3, len(values)) and len(values) != 3:
        vectors = vectors.T
    along = GradientTable(values, vectors)
    if affine is None:
        return along
    matrix = np.asarray(affine, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"The affine of a scan is 4 x 4 finite numbers, not {matrix.shape}.")
    return GradientTable(values, along.directions @ fsl_to_world(matrix).T)


def denoise(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    prior: Prior = "dmri-refiner",
    report: Report | None = None,
) -> classical.Denoised:
    """Denoise a scan by low rank and the prior; by low rank alone where a shell has fewer than 15
    directions.

    Args:
        data: Magnitudes (X, Y, Z, volumes).
        gradients: Its table, unfog's or DIPY's.
        mask: Above 0 where to work, (X, Y, Z); everywhere without.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        prior: A denoiser, or the name of a run.
        report: Called with (steps done, steps in all).

    Returns:
        ``signal`` (X, Y, Z, volumes), ``sigma`` (X, Y, Z) and ``expected_error``, in data's units.
    """
    return blind.denoise_blind(
        _denoiser(prior), data, gradients, mask, coils=coils, unbias=unbias, report=report
    )


def complete(
    data: NDArray[Any],
    gradients: Any,
    target: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    prior: Prior = "dmri-refiner",
    report: Report | None = None,
) -> completion.Completed:
    """Predict the volumes of another gradient table; those that were measured are denoised.

    Args:
        data: Magnitudes (X, Y, Z, volumes).
        gradients: Its table.
        target: The table of the volumes to predict.
        mask: Above 0 where to work, (X, Y, Z); everywhere without.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        prior: A denoiser, or the name of a run.
        report: Called with (steps done, steps in all).

    Returns:
        ``signal`` and ``std`` (X, Y, Z, target volumes), in data's units.
    """
    return completion.complete(
        _denoiser(prior),
        data,
        gradients,
        target,
        mask,
        coils=coils,
        unbias=unbias,
        report=report,
    )


def fod(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    draws: int = 200,
    kept: int = 20,
    prior: Prior = "dmri",
    seed: int = 0,
    report: Report | None = None,
) -> orientations.Fod:
    """Fibre orientations with their uncertainty, by draws from the posterior.

    Args:
        data: Magnitudes (X, Y, Z, volumes).
        gradients: Its table.
        mask: Above 0 where to work, (X, Y, Z); everywhere without.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        draws: The number of draws that the maps summarise.
        kept: The number of them that are returned as orientation densities.
        prior: A denoiser, or the name of a run.
        seed: Of the draws.
        report: Called with (steps done, steps in all).

    Returns:
        ``maps`` of directions, cones (degrees), FA and MD, and ``samples`` of densities.
    """
    scales = {} if isinstance(prior, Denoiser) else orientations.fod_scales(Run.open(prior))
    return orientations.fod(
        _denoiser(prior),
        data,
        gradients,
        mask,
        coils=coils,
        unbias=unbias,
        draws=draws,
        kept=kept,
        scales=scales,
        seed=seed,
        report=report,
    )


def _denoiser(prior: Prior) -> Denoiser:
    """The denoiser itself, or that of the run of that name, in the faster precision."""
    return prior if isinstance(prior, Denoiser) else in_precision(Run.open(prior).denoiser)
