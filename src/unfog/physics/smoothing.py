"""Gaussian filters as symmetric linear maps: beyond its edges an image is zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.physics.blur import gaussian_kernel


def smoothed(x: Tensor, deviation: float) -> Tensor:
    """x (batch, channels, *space) filtered by a Gaussian whose deviation is in pixels, along every
    axis of space; equal to its own adjoint.
    """
    for axis in range(2, x.ndim):
        matrix = _along(x.shape[axis], deviation).to(x)
        x = torch.tensordot(x, matrix, ([axis], [1])).movedim(-1, axis)
    return x


def _along(count: int, deviation: float | None) -> Tensor:
    """The filter along an axis of so many pixels as a banded matrix, float64; None is the unit."""
    if deviation is None:
        return torch.eye(count, dtype=torch.float64)
    line = gaussian_kernel(deviation, 1)
    away = torch.arange(count)[:, None] - torch.arange(count) + len(line) // 2
    inside = (away >= 0) & (away < len(line))
    return line[away.clamp(0, len(line) - 1)] * inside


def difference_of_gaussians(x: Tensor, fine: float | None, coarse: float | None) -> Tensor:
    """What is between two scales: x under the finer Gaussian minus x under the coarser one.

    Args:
        x: (batch, channels, *space).
        fine: The finer one's deviation in pixels; None for x itself.
        coarse: The coarser one's; None to subtract nothing.

    Returns:
        The band, shaped as x.
    """
    band = x if fine is None else smoothed(x, fine)
    return band if coarse is None else band - smoothed(x, coarse)


def noise_gain(space: Sequence[int], fine: float | None, coarse: float | None) -> Tensor:
    """The variance that a band of white noise of variance 1 has at each pixel, (*space), float64:
    the diagonal of B B^T, of B = F - C that of F F^T - 2 F C^T + C C^T, each of which is a product
    of one factor an axis.
    """
    pairs = [(fine, fine, 1)] if coarse is None else [
        (fine, fine, 1), (fine, coarse, -2), (coarse, coarse, 1)
    ]  # fmt: skip
    total = torch.zeros(tuple(space), dtype=torch.float64)
    for one, other, factor in pairs:
        term = torch.tensor(float(factor), dtype=torch.float64)
        for n in space:
            term = term[..., None] * (_along(n, one) * _along(n, other)).sum(1)
        total += term
    return total
