r"""What a denoised scan is judged on: the signal, and what is read from it.

Over the mask, in diffusion-weighted volumes, the signal error 100 |S - S*| / b0, with b0 the mean
of white matter; over white matter, from a tensor fit of each, FA, MD, and the angle between
principal directions (axes, so 0 to 90 degrees). Classical denoisers cut the first threefold and
hardly move the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.simulation.phantom import Phantom
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError


class ErrorsToTruth(NamedTuple):
    """Root mean squares unless said: signal in % of white matter's b0, MD in 1e-3 mm^2/s, ``angle``
    the mean in degrees.
    """

    signal: float
    signal_bias: float
    fa: float
    fa_bias: float
    md: float
    md_bias: float
    angle: float


def errors_to_truth(estimate: NDArray[Any], phantom: Phantom) -> ErrorsToTruth:
    """ErrorsToTruth of an ``estimate`` (X, Y, Z, volumes) of the phantom's signal."""
    if estimate.shape != phantom.signal.shape:
        raise InputError(
            f"The estimate is {estimate.shape} and the phantom {phantom.signal.shape}; compare "
            "like with like."
        )
    error = 100 / phantom.b0 * (estimate - phantom.signal)[phantom.mask][:, ~phantom.gradients.b0]
    white = phantom.white[phantom.mask]
    truth, found = phantom.tensors(), fit_tensors(estimate[phantom.mask], phantom.gradients)
    fa, md = (found.fa - truth.fa)[white], 1e3 * (found.md - truth.md)[white]
    return ErrorsToTruth(
        _rms(error),
        float(error.mean()),
        _rms(fa),
        float(fa.mean()),
        _rms(md),
        float(md.mean()),
        float(axis_angle(found.direction, truth.direction)[white].mean()),
    )


def axis_angle(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Degrees between axes, unit vectors (..., 3) whose sign means nothing: 0 to 90."""
    return np.asarray(np.degrees(np.arccos(np.clip(np.abs((a * b).sum(-1)), 0, 1))))


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
