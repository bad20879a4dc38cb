r"""The radially averaged spectrum of fields on a periodic square or cube, and the distance of two
spectra.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.errors import InputError


def radial_spectrum(x: Tensor) -> Tensor:
    """The radially averaged spectrum of ``x`` (batch, channels, *space), with one size n along
    every axis,

        E(k) = sum of |x^(q)|^2 over k - 1/2 <= |q| < k + 1/2,     k = 1, 2, ... n / 2,

    so that the sum over k is the variance, but for the corners.

    Returns E (batch, n / 2) float64, summed over channels. Raises `InputError` for unequal sizes.
    """
    n, axes = x.shape[2], tuple(range(2, x.ndim))
    if len(set(x.shape[2:])) > 1:
        raise InputError(
            f"A radial spectrum needs one size along every axis, got {tuple(x.shape[2:])}."
        )
    power = (torch.fft.fftn(x.double(), dim=axes).abs() / n ** len(axes)).square().sum(1).flatten(1)
    frequencies = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    grid = torch.cartesian_prod(*[frequencies] * len(axes)).view(-1, len(axes))
    # The k of each mode.
    shell = grid.norm(dim=1).round().long()
    inside = shell <= n // 2
    sums = torch.zeros(len(x), n // 2 + 1, dtype=torch.float64)
    return sums.index_add(1, shell[inside], power[:, inside])[:, 1:]


def spectrum_distance(first: Tensor, second: Tensor) -> float:
    """The distance of two spectra (k,), the root mean square over k of ln(E_1 / E_2).

    0.1 is about 10 % at every scale, the smallest too, which no error of the mean shows. Raises
    `InputError` for different lengths or values not above 0.
    """
    if first.shape != second.shape or not bool((first > 0).all() & (second > 0).all()):
        raise InputError(
            "Two spectra of one length, above 0 everywhere, are compared; leave out wavenumbers "
            "without power."
        )
    return float((first / second).log().square().mean().sqrt())
