r"""Magnitudes of noisy complex signals: their mean, its inverse, and the bias that noise adds.

A magnitude y is the length of a signal nu spread over n coils, with Gaussian noise of deviation
sigma in every real and imaginary part: Rician for one coil, non-central chi for more (Gudbjartsson
& Patz 1995; Constantinides et al. 1997). Arrays have any shape; sigma broadcasts.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unfog.errors import InputError, MissingExtra

Array = NDArray[Any]
FARTHEST, DENSITY = 64, 64  # tables reach up to 64 sigma, with 64 knots for each sigma


def magnitude_mean(nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """The mean of magnitudes, exactly:

        E[y] = sigma sqrt(pi/2) c_n 1F1(-1/2; n; -nu^2 / 2 sigma^2),
        c_n = (2n - 1)!! / (2^(n-1) (n-1)!);   E[y^2] = nu^2 + 2 n sigma^2.

    For one coil 1F1 is Laguerre's L_1/2.

    Args:
        nu: The signal, any shape.
        sigma: Deviation of the noise in each real and imaginary part, broadcast to it.
        coils: n, combined by sum of squares.

    Returns:
        E[y], float64, in nu's units.

    Raises:
        InputError: Fewer than one coil.
    """
    if coils < 1:
        raise InputError(f"A magnitude is combined from 1 coil or more, not {coils}.")
    nu, sigma = np.broadcast_arrays(np.asarray(nu, np.float64), np.asarray(sigma, np.float64))
    safe = np.where(sigma > 0, sigma, 1)
    return np.asarray(np.where(sigma > 0, sigma * _unit_mean(nu / safe, coils), np.abs(nu)))


def _unit_mean(snr: Array, coils: int) -> Array:
    """E[y] / sigma at nu / sigma = ``snr``."""
    special, half = _scipy(), snr**2 / 2
    if coils == 1:  # by Bessel functions, which do not overflow
        i0, i1 = special.i0e(half / 2), special.i1e(half / 2)
        return np.asarray(math.sqrt(math.pi / 2) * ((1 + half) * i0 + half * i1))
    # 1F1 loses its digits far above the noise, where E[y]^2 -> nu^2 + (2 n - 1) sigma^2.
    far = snr > FARTHEST
    series = special.hyp1f1(-0.5, coils, -np.where(far, 0, half))
    return np.asarray(
        np.where(far, np.sqrt(snr**2 + 2 * coils - 1), noise_magnitude(1.0, coils) * series)
    )


def noise_magnitude(sigma: ArrayLike, coils: int = 1) -> Array:
    """The mean of magnitudes without a signal, E[y] = sigma sqrt(2) Gamma(n + 1/2) / Gamma(n),
    which is sigma sqrt(pi/2) c_n.
    """
    return np.asarray(sigma) * (
        math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils))
    )


def magnitude_bias(nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """What noise adds to magnitudes on average, E[y] - nu: to 1e-4 sigma, from a table.

    Args:
        nu: The signal or an estimate of it, any shape.
        sigma: Deviation of the noise in each real and imaginary part, broadcast to it.
        coils: n, combined by sum of squares.

    Returns:
        E[y] - nu, shaped as nu and of its type.
    """
    nu, ratio, sigma = _over(nu, sigma)
    ratio = np.maximum(ratio, 0)
    gain = _look_up(_gain_table(coils), ratio)
    # With gain = (E[y]^2 - nu^2) / sigma^2: sqrt(a^2 + g) - a = g / (a + sqrt(a^2 + g)).
    return np.asarray(sigma * gain / (ratio + np.sqrt(ratio**2 + gain)), dtype=nu.dtype)


def without_bias(y: Array, nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """Magnitudes with the bias of noise taken away, y - (E[y] - nu): they have the mean nu and keep
    their noise.

    Args:
        y: Magnitudes, any shape.
        nu: An estimate of their signal.
        sigma: Deviation of the noise in each real and imaginary part.
        coils: n, combined by sum of squares.

    Returns:
        The magnitudes, shaped as y and of its type.
    """
    return np.asarray(y - magnitude_bias(nu, sigma, coils), dtype=y.dtype)


def magnitude_error(nu: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """The mean square error of magnitudes as estimates of the signal,

        E[(y - nu)^2] = 2 n sigma^2 - 2 nu (E[y] - nu):

    sigma^2 far above the noise, 2 n sigma^2 without a signal.

    Args:
        nu: The signal, any shape.
        sigma: Deviation of the noise in each real and imaginary part, broadcast to it.
        coils: n, combined by sum of squares.

    Returns:
        The mean square error, shaped as nu and of its type.
    """
    nu = np.asarray(nu)
    return np.asarray(
        2 * coils * np.square(sigma) - 2 * nu * magnitude_bias(nu, sigma, coils), dtype=nu.dtype
    )


def koay_inversion(mean: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """The signal nu that makes magnitudes of a given mean (Koay & Basser 2006), nu^2 = E[y]^2 + var
    y - 2 n sigma^2: to 1e-4 sigma where nu is above .1 sigma.

    Denoisers that average magnitudes estimate E[y], so this follows them.

    Args:
        mean: E[y], any shape.
        sigma: Deviation of the noise in each real and imaginary part, broadcast to it.
        coils: n, combined by sum of squares.

    Returns:
        nu, shaped as the mean and of its type; 0 where the mean is no more than noise alone makes.
    """
    mean, ratio, sigma = _over(mean, sigma)
    square = ratio**2 + variance_share(mean, sigma, coils) - 2 * coils
    nu = sigma * np.sqrt(np.where(ratio > noise_magnitude(1.0, coils), np.maximum(square, 0), 0))
    return np.asarray(np.where(sigma > 0, nu, mean), dtype=mean.dtype)


def variance_share(mean: ArrayLike, sigma: ArrayLike, coils: int = 1) -> Array:
    """The variance of magnitudes over that of the noise, var y / sigma^2, by their mean: 1 far
    above the noise, .43 in noise alone from one coil.

    Args:
        mean: E[y], any shape.
        sigma: Deviation of the noise in each real and imaginary part, broadcast to it.
        coils: n, combined by sum of squares.

    Returns:
        var y / sigma^2, shaped as the mean.
    """
    mean, ratio, _ = _over(mean, sigma)
    return _look_up(
        _variance_table(coils),
        np.maximum(ratio - noise_magnitude(1.0, coils).astype(ratio.dtype), 0),
    )


def variance_share_at(ratio: Array, coils: int = 1) -> Array:
    """The same var y / sigma^2 without knowing sigma, by ``ratio``, the mean of magnitudes over
    their own deviation (Koay & Basser 2006).
    """
    share = np.maximum(_variance_table(coils), np.finfo(np.float64).tiny)
    means = noise_magnitude(1.0, coils) + np.arange(len(share)) / DENSITY
    return np.asarray(np.interp(ratio, means / np.sqrt(share), share), dtype=ratio.dtype)


def _over(x: ArrayLike, sigma: ArrayLike) -> tuple[Array, Array, Array]:
    """x, x / sigma and sigma, all in the type of x; the ratio is x where there is no noise."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    sigma = np.asarray(sigma, dtype=x.dtype)
    return x, x / np.where(sigma > 0, sigma, 1).astype(x.dtype), sigma


def _look_up(table: Array, at: Array) -> Array:
    """A table's linear interpolant at ``at`` (in units of sigma), constant beyond its end."""
    place = np.minimum(at * DENSITY, len(table) - 1.001).astype(at.dtype)
    k = place.astype(np.int32)
    table = table.astype(at.dtype)
    return np.asarray(table[k] + (place - k) * (table[k + 1] - table[k]))


@cache
def _gain_table(coils: int) -> Array:
    """(E[y]^2 - nu^2) / sigma^2 on a uniform grid of nu / sigma; its limit is 2 coils - 1."""
    snr = np.arange(FARTHEST * DENSITY) / DENSITY
    return np.asarray(magnitude_mean(snr, 1.0, coils) ** 2 - snr**2)


@cache
def _variance_table(coils: int) -> Array:
    """var y / sigma^2 = 2 coils + (nu^2 - E[y]^2) / sigma^2 on a uniform grid of E[y] / sigma from
    its least value: a smooth function, which nu of E[y] is not.
    """
    snr = FARTHEST * np.linspace(0, 1, 8 * FARTHEST * DENSITY) ** 2
    mean = magnitude_mean(snr, 1.0, coils)
    grid = noise_magnitude(1.0, coils) + np.arange(FARTHEST * DENSITY) / DENSITY
    return np.asarray(np.interp(grid, mean, 2 * coils + snr**2 - mean**2))


def _scipy() -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    return special
