r"""Magnitudes of noisy complex signals: their mean, its inverse, and the bias they leave.

y is the length of a signal nu spread over the coils with Gaussian noise sigma in every real and imaginary part: Rician for one
coil, non-central chi for n coils (Gudbjartsson & Patz 1995; Constantinides et al. 1997), and

    E[y] = sigma sqrt(pi/2) c_n 1F1(-1/2; n; -nu^2 / 2 sigma^2),   c_n = (2n - 1)!! / (2^(n-1) (n-1)!);   E[y^2] = nu^2 + 2 n sigma^2.

For one coil 1F1 is Laguerre's L_1/2. A denoiser that averages magnitudes returns E[y], so nu is its inverse (Koay & Basser 2006).
Arrays of any shape; sigma broadcasts.
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unfog.errors import InputError, MissingExtra

Array = NDArray[Any]
KNOTS, FARTHEST = 8192, 64.0  # of the table in nu / sigma; beyond it E[y] = sqrt(nu^2 + (2n - 1) sigma^2) to 1e-6 sigma for few coils


def magnitude_mean(nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """E[y] of a signal ``nu``, exact."""
    if coils < 1:
        raise InputError(f"A magnitude is combined from 1 coil or more, not {coils}.")
    nu, sigma = np.broadcast_arrays(np.asarray(nu, np.float64), np.asarray(sigma, np.float64))
    safe = np.where(sigma > 0, sigma, 1)
    return np.where(sigma > 0, sigma * _unit_mean(nu / safe, coils), np.abs(nu))


def _unit_mean(snr: Array, coils: int) -> Array:
    special, half = _scipy(), snr**2 / 2
    if coils == 1:  # by Bessel functions, which do not overflow
        i0, i1 = special.i0e(half / 2), special.i1e(half / 2)
        return np.asarray(math.sqrt(math.pi / 2) * ((1 + half) * i0 + half * i1))
    far = snr > FARTHEST
    series = special.hyp1f1(-0.5, coils, -np.where(far, 0, half))
    return np.where(far, np.sqrt(snr**2 + 2 * coils - 1), noise_magnitude(1.0, coils) * series)


def noise_magnitude(sigma: ArrayLike, coils: int = 1) -> Array:
    """E[y] of no signal: sigma sqrt(2) Gamma(n + 1/2) / Gamma(n), the same as sigma sqrt(pi/2) c_n."""
    return np.asarray(sigma) * (math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils)))


def magnitude_bias(nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """E[y] - nu from a table, exact to 1e-5 sigma: what is subtracted from y where an estimate of nu is known."""
    snr, mean = _table(coils)
    nu, sigma = np.broadcast_arrays(np.asarray(nu), np.asarray(sigma))
    ratio = np.maximum(nu, 0) / np.where(sigma > 0, sigma, 1)
    near = np.interp(ratio, snr, mean - snr)
    far = np.sqrt(ratio**2 + 2 * coils - 1) - ratio
    return np.asarray(sigma * np.where(ratio > FARTHEST, far, near), dtype=nu.dtype)


def without_bias(y: Array, nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """y - (E[y] - nu): magnitudes with mean nu and their own noise, given an estimate of nu."""
    return np.asarray(y - magnitude_bias(nu, sigma, coils), dtype=y.dtype)


def koay_inversion(mean: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """nu for a mean magnitude, 0 where it is no more than noise alone makes."""
    snr, table = _table(coils)
    mean, sigma = np.broadcast_arrays(np.asarray(mean), np.asarray(sigma))
    ratio = mean / np.where(sigma > 0, sigma, 1)
    far = np.sqrt(np.maximum(ratio**2 - (2 * coils - 1), 0))
    nu = np.where(ratio > table[-1], far, np.interp(ratio, table, snr, left=0.0))
    return np.asarray(np.where(sigma > 0, sigma * nu, mean), dtype=mean.dtype)


def variance_share(mean: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """var y / sigma^2 where the magnitudes' mean is known: 1 far above the noise, .43 in one coil's noise alone."""
    snr, table = _table(coils)
    mean, sigma = np.broadcast_arrays(np.asarray(mean), np.asarray(sigma))
    share = 2 * coils + snr**2 - table**2
    return np.interp(mean / np.where(sigma > 0, sigma, 1), table[snr < 30], share[snr < 30], right=1.0)


@cache
def _table(coils: int) -> tuple[Array, Array]:
    """nu / sigma, denser near 0 where the mean is flat, and E[y] / sigma."""
    snr = FARTHEST * np.linspace(0, 1, KNOTS) ** 2
    return snr, magnitude_mean(snr, 1.0, coils)


def _scipy() -> ModuleType:
    try:
        from scipy import special
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    return special
