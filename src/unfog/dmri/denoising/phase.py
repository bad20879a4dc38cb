r"""The phase of a diffusion scan, taken away: what is left has its signal in the real part, and
noise that is Gaussian and has no floor (Eichner et al. 2015; Cordero-Grande et al. 2019).

A volume's phase has a part that all volumes share (coils, field) and a smooth part of its own,
since the head moves a little while it is weighted:

    y_v = S_v exp(i (phi + p_v)) + n_v.

First roughly: phi where all volumes are put together, p_v in a wide window about each voxel of a
slice. Then what is left is denoised by low rank, real and imaginary parts as volumes of one series,
and the phase of that is taken away too. A phase that errs by e keeps cos(e) of the signal.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.noise_distribution import NoiseDistribution
from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError, MissingExtra
from unfog.progress import Report

REAL_PARTS = NoiseDistribution(magnitudes=False)
OWN, SHARED = 4.0, 0.8  # deviations of the windows in voxels: of a volume's own part, and of phi
ROUNDS = 3
# Largest values of a phase in degrees, radians, and the integers of scanners.
UNITS = {"radians": math.pi, "degrees": 180.0, "4096": 4096.0}
NEAR = 0.02  # share by which a phase may pass its largest value

Complex = NDArray[np.complex64]
Array = NDArray[np.float32]


def in_radians(phase: NDArray[np.floating], unit: str | None, name: str) -> Array:
    """A phase in radians.

    Args:
        phase: Any shape.
        unit: One of ``UNITS``; told from the range of the values by default: pi, 180, 4096 (or 2048
            to either side).
        name: The file's, for the error.

    Returns:
        The phase, up to multiples of 2 pi.

    Raises:
        InputError: The unit is not known, or the values do not tell it.
    """
    if unit is not None and unit not in UNITS:
        raise InputError(f"The unit of a phase is one of {', '.join(UNITS)}, not {unit!r}.")
    low, high = float(phase.min()), float(phase.max())
    found = unit or _unit(low, high)
    if found is None:
        raise InputError(
            f"{name} has values from {low:.4g} to {high:.4g}, which are a phase in no usual unit; "
            f"say --phase-unit {' | '.join(UNITS)}."
        )
    whole = 4096.0 if found == "4096" else 2 * UNITS[found]
    return np.asarray(phase * (2 * math.pi / whole), dtype=np.float32)


def _unit(low: float, high: float) -> str | None:
    """The unit whose whole turn the values fill: from -half to half, or from 0 to the whole."""
    for name, half in (("radians", math.pi), ("degrees", 180.0), ("4096", 2048.0)):
        for least, most in ((-half, half), (0.0, 2 * half)):
            span, slack = most - least, NEAR * 2 * half
            inside = low >= least - slack and high <= most + slack
            if inside and high - low > (1 - 5 * NEAR) * span:
                return name
    return None


def real_parts(
    y: Complex, gradients: GradientTable, inside: NDArray[np.bool_], report: Report | None = None
) -> Array:
    """The real parts of a scan without its phase.

    Args:
        y: (X, Y, Z, volumes), slices along Z.
        gradients: The scan's table.
        inside: (X, Y, Z), the head.
        report: Called as ``report(done, total)``, counting planes.

    Returns:
        (X, Y, Z, volumes); below 0 where noise is.
    """
    z = y * _rough_direction(y).conj()
    # Both parts by low rank: they share what the volumes share.
    twice = GradientTable(
        np.tile(gradients.bvals, 2), np.tile(gradients.directions, (2, 1)), gradients.threshold
    )
    both = np.concatenate([z.real, z.imag], -1).astype(np.float32)
    low = denoise(both, twice, inside, distribution=REAL_PARTS, report=report).signal
    count = y.shape[3]
    phase = _direction((low[..., :count] + 1j * low[..., count:]).astype(np.complex64))
    return np.ascontiguousarray((z * phase.conj()).real, dtype=np.float32)


def _rough_direction(y: Complex) -> Complex:
    """exp(i (phi + p_v)), (X, Y, Z, volumes), as smooth windows see it."""
    shared = _direction(y.sum(-1))
    for _ in range(ROUNDS):
        # Each volume's own phase beyond what is shared.
        own = _direction(_smooth(y * shared.conj()[..., None], OWN))
        # What all have in common beyond their own.
        shared = _direction(_smooth((y * own.conj()).sum(-1), SHARED))
    return shared[..., None] * _direction(_smooth(y * shared.conj()[..., None], OWN))


def _direction(y: Complex) -> Complex:
    """y / |y|, 1 where y is 0."""
    size = np.abs(y)
    turned = np.where(size > 0, y / np.maximum(size, np.finfo(np.float32).tiny), 1)
    return np.asarray(turned, dtype=np.complex64)


def _smooth(y: Complex, deviation: float) -> Complex:
    """A Gaussian average within each slice, (X, Y, ...)."""
    try:
        from scipy.ndimage import gaussian_filter
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    widths = (deviation, deviation, *(0.0,) * (y.ndim - 2))
    parts = [gaussian_filter(part, widths, mode="constant") for part in (y.real, y.imag)]
    return np.asarray(parts[0] + 1j * parts[1], dtype=np.complex64)
