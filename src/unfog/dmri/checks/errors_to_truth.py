r"""Errors of a denoised phantom: of its signal, and of what a tensor fit reads from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.simulation.phantom import Phantom
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError


class ErrorsToTruth(NamedTuple):
    """The errors of a denoised phantom, root mean squares unless said.

    ``signal`` is 100 |S - S*| / b0 in % over the mask and the volumes with diffusion weighting, b0
    the mean of white matter; ``fa``, ``md`` (1e-3 mm^2/s) and ``angle`` are over white matter, from
    a tensor fit of each. ``signal_bias``, ``fa_bias`` and ``md_bias`` are mean errors; ``angle`` is
    the mean angle between principal directions in degrees, 0 to 90, as axes have no sign. Classical
    denoisers reduce the error of the signal threefold and hardly change the others.
    """

    signal: float
    signal_bias: float
    fa: float
    fa_bias: float
    md: float
    md_bias: float
    angle: float


def errors_to_truth(estimate: NDArray[Any], phantom: Phantom) -> ErrorsToTruth:
    """The errors of an ``estimate`` (X, Y, Z, volumes) of the phantom's noise-free signal."""
    if estimate.shape != phantom.signal.shape:
        raise InputError(
            f"The estimate is {estimate.shape} and the phantom {phantom.signal.shape}; compare "
            "like with like."
        )
    # The signal, over the mask; FA, MD and direction, over white matter.
    error = 100 / phantom.b0 * (estimate - phantom.signal)[phantom.mask][:, ~phantom.gradients.b0]
    white = phantom.white[phantom.mask]
    truth, tensors = phantom.tensors(), fit_tensors(estimate[phantom.mask], phantom.gradients)
    fa, md = (tensors.fa - truth.fa)[white], 1e3 * (tensors.md - truth.md)[white]
    return ErrorsToTruth(
        _rms(error),
        float(error.mean()),
        _rms(fa),
        float(fa.mean()),
        _rms(md),
        float(md.mean()),
        float(axis_angle(tensors.direction, truth.direction)[white].mean()),
    )


def axis_angle(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The angle in degrees, 0 to 90, between axes: unit vectors (..., 3) whose sign means
    nothing.
    """
    return np.asarray(np.degrees(np.arccos(np.clip(np.abs((a * b).sum(-1)), 0, 1))))


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
