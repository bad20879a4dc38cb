r"""Blur by a known kernel, and down-sampling after it, of periodic images, so that Fourier gives
the spectrum.

A periodic image wraps around at its borders: pad what does not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Filter, Operator
from unfog.physics.spectral import Spectral


def gaussian_kernel(deviation: float, dimensions: int = 2) -> Tensor:
    """A Gaussian kernel of the deviation in pixels, out to 3 of them, with sum 1: (2n + 1,) *
    dimensions, float64.
    """
    if not deviation > 0:
        raise InputError(f"The deviation of a blur is above zero, got {deviation}.")
    half_width = math.ceil(3 * deviation)
    line = torch.exp(
        -0.5 * (torch.arange(-half_width, half_width + 1, dtype=torch.float64) / deviation) ** 2
    )
    kernel = line
    for _ in range(dimensions - 1):
        kernel = kernel[..., None] * line
    return kernel / kernel.sum()


class Blur(Spectral):
    """Convolution of every channel with a kernel, on a periodic image:

        (A x)^ = k^ x^,   A A* = |k^|^2.

    ``kernel`` is (*space), and its centre is its middle.
    """

    def __init__(self, kernel: Tensor) -> None:
        if not bool(kernel.isfinite().all()) or not bool(kernel.any()):
            raise InputError("A blur needs a kernel of finite values that are not all zero.")
        self.kernel = kernel
        self.axes = tuple(range(-kernel.ndim, 0))

    def __call__(self, x: Tensor) -> Tensor:
        return self._times(self.transfer(x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._times(self.transfer(y).conj(), y)

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        transfer = self.transfer(y)
        return self._times(transfer.conj() * function(transfer.abs() ** 2), y)

    def transfer(self, like: Tensor) -> Tensor:
        """k^ on the grid of ``like``, (1, 1, *space)."""
        space = like.shape[2:]
        if len(space) != self.kernel.ndim or any(
            k > n for k, n in zip(self.kernel.shape, space, strict=True)
        ):
            raise InputError(
                f"The kernel {tuple(self.kernel.shape)} does not fit an image of {tuple(space)}; "
                "it may not be larger."
            )
        padded = torch.zeros(space, dtype=like.dtype, device=like.device)
        padded[tuple(slice(k) for k in self.kernel.shape)] = self.kernel.to(like)
        centred = padded.roll([-(k // 2) for k in self.kernel.shape], self.axes)
        transfer: Tensor = torch.fft.fftn(centred, dim=self.axes)[None, None]
        return transfer

    def _times(self, spectrum: Tensor, x: Tensor) -> Tensor:
        product: Tensor = torch.fft.ifftn(
            spectrum * torch.fft.fftn(x, dim=self.axes), dim=self.axes
        ).real
        return product


class Downsample(Spectral):
    """Every ``factor``-th value of a blurred image: super-resolution as scanners and cameras do
    it, where the kernel is their aperture. On the coarse grid

        A A* = f^-d sum over the aliases of |k^|^2.
    """

    def __init__(self, kernel: Tensor, factor: int) -> None:
        if factor < 2:
            raise InputError(f"A super-resolution factor is 2 or more, got {factor}.")
        self.blur, self.decimate, self.factor = Blur(kernel), Decimate(factor), factor

    def __call__(self, x: Tensor) -> Tensor:
        return self.decimate(self.blur(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.blur.adjoint(self.decimate.adjoint(y))

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        fine = y.new_zeros(1, 1, *(n * self.factor for n in y.shape[2:]))
        power, axes = self.blur.transfer(fine).abs() ** 2, self.blur.axes
        # The mean of |k^|^2 over the frequencies that fold onto one.
        aliases = power.reshape(1, 1, *(v for n in y.shape[2:] for v in (self.factor, n)))
        eigenvalues = aliases.mean(tuple(range(2, aliases.ndim, 2)))
        filtered = torch.fft.ifftn(
            function(eigenvalues) * torch.fft.fftn(y, dim=axes), dim=axes
        ).real
        return self.adjoint(filtered)


class Decimate(Operator):
    """Every ``factor``-th value along each spatial axis; the sizes divide by it."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        if any(n % self.factor for n in x.shape[2:]):
            raise InputError(
                f"Sizes {tuple(x.shape[2:])} do not divide by the factor {self.factor}."
            )
        return x[self._kept(x)]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:2], *(n * self.factor for n in y.shape[2:]))
        x[self._kept(y)] = y
        return x

    def _kept(self, x: Tensor) -> tuple[slice, ...]:
        return (slice(None), slice(None), *(slice(None, None, self.factor) for _ in x.shape[2:]))
