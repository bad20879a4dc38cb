"""Thick slices: a volume averaged along one axis by the profile of its slices."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Filter
from unfog.physics.spectral import Spectral

FWHM = 2.3548  # of a Gaussian, in its deviations


def slice_profile(slices: int, factor: int, width: float) -> Tensor:
    """The weights of fine planes in thick slices, (slices, slices * factor), float64.

    Args:
        slices: Thick ones.
        factor: Fine planes from slice to slice.
        width: Of the profile, a Gaussian: full width at half maximum over the distance of slices;
            0 for a box without gap, the mean of ``factor`` planes.

    Returns:
        Rows that sum to 1; at the ends, where the profile reaches beyond the volume, too.
    """
    planes = (torch.arange(slices * factor, dtype=torch.float64) + 0.5) / factor
    away = planes - (torch.arange(slices, dtype=torch.float64)[:, None] + 0.5)
    if width == 0:
        return (away.abs() < 0.5).double() / factor
    weights = torch.exp(-0.5 * (away * FWHM / width) ** 2) * (away.abs() < 1.5 * width)
    return weights / weights.sum(1, keepdim=True)


class ThickSlices(Spectral):
    """Super-resolution through slices: y = P x along one axis, P the slices' profile, so that

        A A* = P P^T along that axis,

    a small matrix, whose eigenvectors are known exactly.

    Args:
        factor: Fine planes from slice to slice, 2 or more.
        axis: Of space, from 0; negative ones count from the last.
        width: Of the profile, as of ``slice_profile``.

    Raises:
        InputError: The factor or the width is out of range.
    """

    def __init__(self, factor: int, axis: int = -1, width: float = 1.0) -> None:
        if factor < 2 or not 0 <= width <= 4:
            raise InputError(
                "Thick slices are 2 or more planes apart, and their profile is 0 to 4 distances "
                f"wide; got a factor of {factor} and a width of {width}."
            )
        self.factor, self.axis, self.width = factor, axis, width
        self._profile = cache(lambda slices: slice_profile(slices, factor, width))
        self._spectrum = cache(self._decomposed)

    def __call__(self, x: Tensor) -> Tensor:
        planes = x.shape[self._dim(x)]
        if planes % self.factor:
            raise InputError(
                f"{planes} planes are no whole number of slices of {self.factor}; crop or pad them."
            )
        return self._along(self._profile(planes // self.factor), x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._along(self._profile(y.shape[self._dim(y)]).T, y)

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        dim = self._dim(y)
        values, vectors = self._spectrum(y.shape[dim])
        shape = [-1 if k == dim else 1 for k in range(y.ndim)]
        coefficients = self._along(vectors.T, y) * function(values.to(y).view(shape))
        return self.adjoint(self._along(vectors, coefficients))

    def _decomposed(self, slices: int) -> tuple[Tensor, Tensor]:
        """Eigenvalues (slices,) and eigenvectors (slices, slices) of P P^T."""
        profile = self._profile(slices)
        values, vectors = torch.linalg.eigh(profile @ profile.T)
        return values.clamp(min=0), vectors

    def _dim(self, x: Tensor) -> int:
        """The axis among those of (batch, channels, *space)."""
        space = x.ndim - 2
        if not -space <= self.axis < space:
            raise InputError(
                f"There is no axis {self.axis} in {space} dimensions; count from 0, or -1 for the "
                "last."
            )
        return 2 + self.axis % space

    def _along(self, matrix: Tensor, x: Tensor) -> Tensor:
        """A matrix times x along the axis."""
        dim = self._dim(x)
        product: Tensor = torch.tensordot(x, matrix.to(x), ([dim], [1]))
        return product.movedim(-1, dim)
