r"""Exposure: y = f x + m, the measurement of low light, and its fit to an estimate of x (Fei et al.
2023). For exposures that saturate see ``saturation``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.shapes import expand, mean_per_sample, sum_per_sample
from unfog.errors import InputError
from unfog.physics.spectral import Tight


class Gain(Tight):
    """f x with one number f above zero: the linear part of a known exposure, which
    measures y - m.
    """

    def __init__(self, factor: float) -> None:
        if not factor > 0:
            raise InputError(f"The factor of an exposure is above zero, got {factor}.")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.factor * y

    def gain(self, y: Tensor) -> float:
        return self.factor**2


class Exposure:
    """The affine map f x + m of each sample: factor f (batch,) above zero, offset m (batch,) or of
    the image's own shape.
    """

    def __init__(self, factor: Tensor, offset: Tensor) -> None:
        if not bool((factor > 0).all()) or not bool(
            factor.isfinite().all() & offset.isfinite().all()
        ):
            raise InputError(
                "The factor of an exposure is finite and above zero, and its offset finite."
            )
        self.factor, self.offset = factor, offset

    @classmethod
    def fitted(cls, x: Tensor, y: Tensor) -> Exposure:
        """The line of least squares through (x, y), for each sample (``line``)."""
        return line(x, y).exposure

    @classmethod
    def stretching(cls, y: Tensor) -> Exposure:
        """The exposure of an image that fills [-1, 1] and gives y: a start for estimates."""
        low, high = y.flatten(1).min(1).values, y.flatten(1).max(1).values
        return cls((high - low) / 2, (high + low) / 2)

    def __call__(self, x: Tensor) -> Tensor:
        offset = self.offset if self.offset.ndim > 1 else expand(self.offset, x)
        return expand(self.factor, x) * x + offset.to(x)

    def __getitem__(self, rows: Sequence[int] | Tensor) -> Exposure:
        """The exposures of some samples of the batch."""
        return Exposure(self.factor[rows], self.offset[rows])

    def towards(self, other: Exposure, share: Tensor) -> Exposure:
        """The exposure a ``share`` (batch,) of the way to another."""
        offset = (
            self.offset
            if self.offset.ndim >= other.offset.ndim
            else expand(self.offset, other.offset)
        )
        new_offset = offset + expand(share, offset) * (other.offset - offset)
        return Exposure(self.factor + share * (other.factor - self.factor), new_offset)


@dataclass(frozen=True)
class Fit:
    """A fitted exposure, and ``share`` (batch,), r^2: of what f x could explain of y, how much it
    explains.
    """

    exposure: Exposure
    share: Tensor


Fitter = Callable[[Tensor, Tensor], Fit]  # (x, y)


def line(x: Tensor, y: Tensor) -> Fit:
    """A fit of f and m, numbers of each sample, by least squares: a line's slope and height,

        f = cov(x, y) / var(x),     m = mean(y) - f mean(x).

    x and y are (batch, channels, *space).
    """
    mean_x, mean_y = mean_per_sample(x), mean_per_sample(y)
    return _fit(x, y, x - expand(mean_x, x), y - expand(mean_y, y), lambda f: mean_y - f * mean_x)


def smooth_offset(weight: float) -> Fitter:
    """A fit whose m is a smooth field (Fei's light mask), the minimum of |y - f x - m|^2 + w |grad
    m|^2. With S = (1 + w grad* grad)^{-1} that is

        f = <x, (1 - S) y> / <x, (1 - S) x>,     m = S (y - f x):

    for a ``weight`` w without bound S is the mean, and this the line. What is finer than about
    sqrt(w) pixels is left to f x.
    """
    if not 0 < weight < math.inf:
        raise InputError(f"The weight of a smooth offset is above zero, got {weight}.")

    def fit(x: Tensor, y: Tensor) -> Fit:
        smooth_x, smooth_y = smoothed(x, weight), smoothed(y, weight)
        return _fit(x, y, x - smooth_x, y - smooth_y, lambda f: smooth_y - expand(f, y) * smooth_x)

    return fit


def smoothed(x: Tensor, weight: float) -> Tensor:
    """S x = (1 + w grad* grad)^{-1} x, mirrored at the borders: by the cosine transform."""
    axes = tuple(range(2, x.ndim))
    # The cosine transform: Fourier's, of the mirrored image.
    mirrored = x
    for axis in axes:
        mirrored = torch.cat([mirrored, mirrored.flip(axis)], axis)
    # Eigenvalues of grad* grad.
    rough = torch.zeros(mirrored.shape[2:], dtype=x.dtype, device=x.device)
    for axis, n in enumerate(rough.shape):
        waves = 2 - 2 * torch.cos(2 * math.pi * torch.arange(n, dtype=x.dtype, device=x.device) / n)
        rough = rough + waves.view(-1, *(1,) * (rough.ndim - 1 - axis))
    filtered: Tensor = torch.fft.ifftn(
        torch.fft.fftn(mirrored, dim=axes) / (1 + weight * rough), dim=axes
    ).real
    for axis in axes:
        filtered = filtered.narrow(axis, 0, x.shape[axis])
    return filtered


def _fit(
    x: Tensor, y: Tensor, fine_x: Tensor, fine_y: Tensor, offset: Callable[[Tensor], Tensor]
) -> Fit:
    """f, m and r^2 from ``fine_x`` and ``fine_y``, (1 - S) x and (1 - S) y: what the offset alone
    cannot explain.
    """
    spread, total = sum_per_sample(x * fine_x), sum_per_sample(y * fine_y)
    if not bool((spread > 0).all()):
        raise InputError("An exposure cannot be estimated from a constant image.")
    factor = (sum_per_sample(fine_x * y) / spread).clamp(min=torch.finfo(x.dtype).tiny)
    share = factor**2 * spread / total.clamp(min=torch.finfo(x.dtype).tiny)
    return Fit(Exposure(factor, offset(factor)), share.clamp(max=1))
