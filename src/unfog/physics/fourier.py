r"""Fourier sampling: the measurements of MRI, k-space. A complex image is two real channels for
each, (real, imaginary) in turn.

Multi-coil Cartesian sampling is a composition, ``Mask(lines) @ Fourier() @ Coils(maps)`` (SENSE:
Pruessmann et al. 1999), and ``NonUniformFourier(points, size) @ Coils(maps)`` the non-Cartesian
one. ``ComplexOf`` makes a complex image of a real one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.physics.spectral import Tight


def to_complex(x: Tensor) -> Tensor:
    """(batch, 2 c, *space) real to (batch, c, *space) complex."""
    if x.shape[1] % 2:
        raise InputError(
            f"Complex data are pairs of channels, real and imaginary, and {x.shape[1]} is odd; "
            "see ComplexOf for real images."
        )
    return torch.complex(x[:, ::2], x[:, 1::2])


def to_real(z: Tensor) -> Tensor:
    """(batch, c, *space) complex to (batch, 2 c, *space) real."""
    return torch.stack([z.real, z.imag], 2).flatten(1, 2)


class ComplexOf(Tight):
    """A real image as a complex one; the adjoint is the real part."""

    def __call__(self, x: Tensor) -> Tensor:
        return to_real(torch.complex(x, torch.zeros_like(x)))

    def adjoint(self, y: Tensor) -> Tensor:
        return to_complex(y).real


class Fourier(Tight):
    """y = F x, the orthonormal discrete Fourier transform over all spatial axes, zero frequency in
    the middle.
    """

    def __call__(self, x: Tensor) -> Tensor:
        z, axes = to_complex(x), tuple(range(2, x.ndim))
        return to_real(
            torch.fft.fftshift(
                torch.fft.fftn(torch.fft.ifftshift(z, axes), dim=axes, norm="ortho"), axes
            )
        )

    def adjoint(self, y: Tensor) -> Tensor:
        z, axes = to_complex(y), tuple(range(2, y.ndim))
        return to_real(
            torch.fft.fftshift(
                torch.fft.ifftn(torch.fft.ifftshift(z, axes), dim=axes, norm="ortho"), axes
            )
        )


class Coils(Operator):
    """y_c = s_c x, the image as each receiver coil sees it: one complex image times complex
    sensitivities ``maps`` (coils, *space). ``SliceCoils`` has maps of its own for each image.
    """

    def __init__(self, maps: Tensor) -> None:
        if (
            not maps.is_complex()
            or not bool(torch.view_as_real(maps).isfinite().all())
            or not bool(maps.any())
        ):
            raise InputError(
                "Coil sensitivities are complex maps (coils, *space) of finite values that are "
                "not all zero."
            )
        self.maps = maps

    def __call__(self, x: Tensor) -> Tensor:
        z, space = to_complex(x), self.maps.shape[2 - x.ndim :]
        if z.shape[1] != 1 or z.shape[2:] != space:
            raise InputError(
                f"The coils see one complex image of {tuple(space)}, got {tuple(x.shape[1:])}."
            )
        return to_real(z * self.maps.to(z))

    def adjoint(self, y: Tensor) -> Tensor:
        z = to_complex(y)
        return to_real((z * self.maps.to(z).conj()).sum(1, keepdim=True))


class SliceCoils(Coils):
    """Coils whose sensitivities ``maps`` (batch, coils, *space) differ from image to image."""

    def of(self, rows: Sequence[int] | Tensor) -> Operator:
        return SliceCoils(self.maps[rows]) if len(self.maps) > 1 else self


class NonUniformFourier(Operator):
    """Fourier samples at any points of k-space, y (batch, 2 c, m):

        y_j = sum_r exp(-2 pi i k_j r) x(r) / sqrt(pixels).

    The exact sum, of m * pixels operations for each complex channel, no gridding.

    Args:
        points: k, (m, dimensions), in cycles per pixel from -1/2 to 1/2.
        size: of the image, a number of pixels for each axis; r is 0 at its middle.
    """

    def __init__(self, points: Tensor, size: tuple[int, ...]) -> None:
        if (
            points.ndim != 2
            or points.shape[1] != len(size)
            or not len(points)
            or not bool((points.abs() <= 0.5).all())
        ):
            raise InputError(
                f"The points of k-space are (m, {len(size)}) numbers from -1/2 to 1/2 cycles per "
                f"pixel, got {tuple(points.shape)}."
            )
        places = [torch.arange(n, dtype=torch.float64) - n // 2 for n in size]
        self.waves = [
            torch.exp(-2j * math.pi * k.double()[:, None] * r)
            for k, r in zip(points.unbind(1), places, strict=True)
        ]
        self.size, self.scale = size, math.prod(size) ** -0.5

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != torch.Size(self.size):
            raise InputError(
                f"This Fourier sampling is made for images of {self.size}, got "
                f"{tuple(x.shape[2:])}."
            )
        z = to_complex(x)
        z = torch.einsum("bc...r,mr->bcm...", z, self.waves[-1].to(z))
        # One spatial axis after the other, the last first.
        for wave in self.waves[-2::-1]:
            z = torch.einsum("bcm...r,mr->bcm...", z, wave.to(z))
        return to_real(z * self.scale)

    def adjoint(self, y: Tensor) -> Tensor:
        z = to_complex(y) * self.scale
        for wave in self.waves[:-1]:
            z = torch.einsum("bcm...,mr->bcm...r", z, wave.to(z).conj())
        return to_real(torch.einsum("bcm...,mr->bc...r", z, self.waves[-1].to(z).conj()))
