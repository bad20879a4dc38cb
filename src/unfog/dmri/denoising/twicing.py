r"""Twicing: what an estimate left of the data, averaged over voxels that are alike, goes back into
it (Tukey 1977).

    x_i <- x_i + sum_j w_ij r_j / sum_j w_ij,   r = data - x,   w_ij = exp(-|x_i - x_j|^2 / 2 h^2),
    h^2 = 64 (s_i^2 + s_j^2) / 2,

over the voxels j in 7 x 7 x 7 about i. Low rank and a prior pull alike voxels the same way, towards
less anisotropy, and noise s does not: the average has it a tenth as large and their bias whole.
Weights by likeness keep tissues apart (joint bilateral filter: Petschnigg et al. 2004). Width and
window are those of least error on eight simulated scans.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

RADIUS, WIDTH = 3, 8.0  # voxels; of likeness, in deviations of the noise


def twiced(x: Tensor, residual: Tensor, noise: Tensor, inside: Tensor) -> Tensor:
    """An estimate ``x`` (channels, X, Y, Z) with the ``residual`` of data whose noise has the
    deviation ``noise`` (X, Y, Z), white.

    Only voxels ``inside`` (X, Y, Z) say anything; without noise the data come back.
    """
    tiny = torch.finfo(x.dtype).tiny
    power = noise.to(x).square().clamp(min=tiny)
    known = inside.to(x)
    total, weight = known * residual, known.clone()
    for offset in product(range(-RADIUS, RADIUS + 1), repeat=3):
        if offset > (0, 0, 0):  # the weight of a pair serves both
            here, there = _pair(offset, x.shape[1:])
            unlike = (x[:, *here] - x[:, *there]).square().sum(0)
            w = torch.exp(-unlike / (WIDTH**2 * (power[here] + power[there])))
            for a, b in ((here, there), (there, here)):
                total[:, *a] += w * known[b] * residual[:, *b]
                weight[a] += w * known[b]
    return x + total / weight.clamp(min=tiny)


def _pair(
    offset: tuple[int, ...], space: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The voxels that have another at ``offset``, and those others."""
    here = tuple(
        slice(max(0, -k), size + min(0, -k)) for k, size in zip(offset, space, strict=True)
    )
    there = tuple(slice(max(0, k), size + min(0, k)) for k, size in zip(offset, space, strict=True))
    return here, there
