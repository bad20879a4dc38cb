"""Diffusion MRI on arrays, with the shipped prior or one of your own: what ``unfog.dmri`` offers by
name.

Scans are (X, Y, Z, volumes) of magnitudes as they were acquired; a gradient table is unfog's or
DIPY's, with directions along the voxel axes or in the world, and the answers' directions are along
the same.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser, InBfloat16
from unfog.dmri.denoising import blind, classical
from unfog.dmri.denoising import complete as completion
from unfog.dmri.fibres import fod as orientations
from unfog.progress import Report

Prior = Denoiser | str  # a denoiser, or the name of a run


def denoise(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    prior: Prior = "dmri-refiner",
    report: Report | None = None,
) -> classical.Denoised:
    """``signal``, ``sigma`` and ``expected_error``, by low rank and the prior; by low rank alone
    where a shell has under 15 directions.
    """
    return blind.denoise_blind(_denoiser(prior), data, gradients, mask, coils=coils, report=report)


def complete(
    data: NDArray[Any],
    gradients: Any,
    target: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    prior: Prior = "dmri-refiner",
    report: Report | None = None,
) -> completion.Completed:
    """``signal`` and ``std`` of the volumes of a table ``target``."""
    return completion.complete(
        _denoiser(prior), data, gradients, target, mask, coils=coils, report=report
    )


def fod(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    draws: int = 200,
    kept: int = 20,
    prior: Prior = "dmri",
    seed: int = 0,
    report: Report | None = None,
) -> orientations.Fod:
    """``maps`` of directions, cones, FA and MD, and ``kept`` of the ``draws`` as orientation
    densities.
    """
    scales = _scales(prior)
    return orientations.fod(
        _denoiser(prior),
        data,
        gradients,
        mask,
        coils=coils,
        draws=draws,
        kept=kept,
        scales=scales,
        seed=seed,
        report=report,
    )


def _denoiser(prior: Prior) -> Denoiser:
    from unfog.runs.run import (
        Run,
    )  # the one place where this floor asks the one above: for a network by its name

    return prior if isinstance(prior, Denoiser) else InBfloat16(Run.open(prior).denoiser)


def _scales(prior: Prior) -> dict[str, float]:
    from unfog.dmri.fibres.fod import fod_scales
    from unfog.runs.run import Run

    return {} if isinstance(prior, Denoiser) else fod_scales(Run.open(prior))
