r"""The diffusion tensor of many voxels at once: its fit, FA, MD and principal direction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError

Array = NDArray[np.float64]
CHUNK = 1 << 15  # voxels fitted at once


class Tensors(NamedTuple):
    """What a tensor fit gives in n voxels, D with eigenvalues l_i: ``md`` (n,) = tr D / 3 in
    mm^2/s, ``fa`` (n,) = sqrt(3/2) |D - MD I| / |D|, ``direction`` (n, 3) of fastest diffusion, a
    unit axis in the table's axes, and ``s0`` (n,), the signal at b = 0.
    """

    fa: Array
    md: Array
    direction: Array
    s0: Array


def fit_tensors(signal: NDArray[np.floating], gradients: GradientTable) -> Tensors:
    """Fit diffusion tensors by weighted least squares (Basser et al. 1994; weights after Salvador
    et al. 2005),

        log S(g, b) = log S_0 - b g^T D g,   weights S^2, as the logarithm's noise is sigma / S,

    S in the weights that of an unweighted fit.

    ``signal`` (n, volumes) are magnitudes; values not above a ten-thousandth of the voxel's largest
    count as that. Raises `InputError` where the table does not determine a tensor.
    """
    design = _design(gradients)
    if not determines_tensor(gradients):
        raise InputError(
            "A tensor needs a b0 and 6 directions that differ, or more; give the whole scan."
        )
    parts = [
        _fit(signal[k : k + CHUNK].astype(np.float64), design) for k in range(0, len(signal), CHUNK)
    ]
    return Tensors(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def determines_tensor(gradients: GradientTable) -> bool:
    """Whether a table has a b0 and six directions that differ, or as much."""
    return int(np.linalg.matrix_rank(_design(gradients))) == 7


def _design(gradients: GradientTable) -> Array:
    """The design matrix (volumes, 7), for the unknowns Dxx Dyy Dzz Dxy Dxz Dyz in um^2/ms and log
    S_0.
    """
    x, y, z = gradients.directions.T
    columns = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], 1)
    return np.concatenate(
        [-1e-3 * gradients.bvals[:, None] * columns, np.ones((len(gradients), 1))], 1
    )


def _fit(signal: Array, design: Array) -> Tensors:
    """The tensors of ``signal`` (n, volumes) under a ``design`` (volumes, 7)."""
    floor = np.maximum(1e-4 * signal.max(1, keepdims=True), np.finfo(np.float64).tiny)
    log = np.log(np.maximum(signal, floor))
    # Weights S^2 of the unweighted fit, scaled to 1 at their largest.
    weights = np.exp(
        2 * (plain := log @ np.linalg.pinv(design).T @ design.T) - 2 * plain.max(1, keepdims=True)
    )
    # The normal equations of the weighted fit, a 7 x 7 system a voxel.
    outer = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    normal = (weights @ outer).reshape(-1, 7, 7) + 1e-12 * np.eye(7)
    unknowns = np.linalg.solve(normal, ((weights * log) @ design)[..., None])[..., 0]
    tensor = unknowns[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    # MD, the deviator D - MD I, and FA from their squared norms.
    md = unknowns[:, :3].mean(1)
    deviator = tensor - md[:, None, None] * np.eye(3)
    # |D - MD I|^2 and |D|^2.
    spread, size = np.square(deviator).sum((1, 2)), np.square(tensor).sum((1, 2))
    fa = np.sqrt(np.clip(1.5 * spread / np.where(size > 0, size, 1), 0, 1))
    return Tensors(fa, 1e-3 * md, _axis(deviator, spread), np.exp(np.minimum(unknowns[:, 6], 700)))


def _axis(deviator: Array, spread: Array) -> Array:
    """Unit eigenvectors (n, 3) of the greatest eigenvalue of ``deviator`` (n, 3, 3), of squared
    norm ``spread``; z where all eigenvalues are equal.

    In closed form for all voxels at once (Smith 1961; Cayley & Hamilton). With B = (D - MD I) / p,
    p^2 = |D - MD I|^2 / 6, the greatest eigenvalue l of B and its axis v are

        l = 2 cos(arccos(tr B^3 / 6) / 3),     v v^T ~ B^2 + l B + (l^2 - 3) I.
    """
    b = deviator / np.sqrt(np.where(spread > 0, spread, 1) / 6)[:, None, None]
    square = b @ b
    # arccos(det B / 2) / 3, as det B = tr B^3 / 3 for a matrix without trace.
    third = np.arccos(np.clip((square * b).sum((1, 2)) / 6, -1, 1)) / 3
    greatest, least = 2 * np.cos(third)[:, None, None], 2 * np.cos(third + 2 * np.pi / 3)[:, None]
    # v v^T up to a factor; its longest column is the best conditioned.
    dyadic = square + greatest * b + (greatest**2 - 3) * np.eye(3)
    longest = dyadic[np.arange(len(b)), np.diagonal(dyadic, axis1=1, axis2=2).argmax(1)]
    # (B - least I) takes away what rounding left of the least eigenvector, where two are equal.
    longest = np.einsum("nij,nj->ni", b, longest) - least * longest
    norm = np.linalg.norm(longest, axis=1)[:, None]
    return np.asarray(
        np.where(
            (spread > 0)[:, None] & (norm > 0), longest / np.where(norm > 0, norm, 1), [0, 0, 1]
        )
    )
