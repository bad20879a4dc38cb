r"""The noise of a scan, from the scan alone: its level in space, and how far neighbouring voxels
share it.

A scan of n voxels in m volumes has few principal components of signal. The others are images of
noise alone, whatever the signal is: the widest set of smallest eigenvalues that the
Marchenko-Pastur law allows (Veraart et al. 2016, there patch by patch). Their mean square at a
voxel, averaged over a few voxels, is sigma^2; their product between neighbours is the correlation.
Taken from the whole scan, and not from patches, the law has so many rows that noise shared by
neighbours disturbs it little, and

    n_independent = n prod_axes 1 / (1 + 2 rho_1^2 + 2 rho_2^2)

rows put right what is left. Of magnitudes the level is the standard deviation of y, below sigma
where the signal is weak; var y / sigma^2 = 2 coils + (nu / sigma)^2 - (E y / sigma)^2 takes it back
(Koay & Basser 2006).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri.denoising.low_rank import Components, global_pca
from unfog.dmri.rician import variance_share, variance_share_at
from unfog.errors import InputError, MissingExtra

SPREAD = 2.5  # voxels: the deviation of the Gaussian over which the level is averaged
LAGS, ROUNDS = 2, 3


class Noise(NamedTuple):
    """``level`` (X, Y, Z), the standard deviation; ``correlation`` (3 axes, 2 lags) between
    neighbours; the scan's ``components``.
    """

    level: Tensor
    correlation: Tensor
    components: Components

    @property
    def independent(self) -> float:
        """The share of voxels with noise of their own."""
        return float(1 / (1 + 2 * self.correlation.square().sum(1)).prod())


def estimate_noise(x: Tensor, inside: Tensor) -> Noise:
    """The noise of ``x`` (X, Y, Z, volumes) in the voxels ``inside`` (X, Y, Z); ``components`` are
    those of x / level there.

    Outside, the level is the nearest known average. A scan of exactly constant volumes has noise 0
    and correlation 0.
    """
    if not bool(inside.any()):
        raise InputError("The mask is empty; mark the voxels to look at with values other than 0.")
    level, noise = torch.ones(inside.shape, dtype=x.dtype), None
    for _ in range(ROUNDS):  # each is whiter than the one before
        safe = torch.where(level > 0, level, 1.0)
        components = global_pca(x[inside] / safe[inside, None], noise.independent if noise else 1.0)
        variance = torch.zeros_like(level)
        variance[inside] = components.residual
        found = safe * smooth(variance, inside).clamp(min=0).sqrt()
        noise = Noise(found, _correlation(components, x, safe, inside), components)
        level = found
    assert noise is not None
    return noise


def smooth(values: Tensor, inside: Tensor) -> Tensor:
    """The Gaussian average of ``values`` (X, Y, Z) over the voxels ``inside``, everywhere."""
    try:
        from scipy.ndimage import distance_transform_edt, gaussian_filter
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    weight = inside.numpy().astype(np.float64)
    share = gaussian_filter(weight, SPREAD, mode="constant")
    total = gaussian_filter(values.double().numpy() * weight, SPREAD, mode="constant")
    near = share > 1e-3
    mean = np.where(near, total / np.where(near, share, 1), 0)
    nearest = distance_transform_edt(~near, return_distances=False, return_indices=True)
    return torch.from_numpy(mean[tuple(nearest)]).to(values.dtype)


def _correlation(components: Components, x: Tensor, level: Tensor, inside: Tensor) -> Tensor:
    """The correlation of the noise left, along each axis at each lag, (3, 2)."""
    left = torch.zeros_like(x)
    rows = x[inside] / level[inside, None] - components.mean
    left[inside] = rows - (rows @ components.axes) @ components.axes.T
    return autocorrelation(left, inside, LAGS)


def autocorrelation(x: Tensor, inside: Tensor, lags: int) -> Tensor:
    """The correlation of ``x`` (X, Y, Z, volumes) between voxels ``inside``, 1 to ``lags`` apart
    along each axis, (3, lags).
    """
    out = torch.zeros(3, lags)
    for axis in range(3):
        for lag in range(1, min(lags, x.shape[axis] - 1) + 1):
            a, b = x.narrow(axis, 0, x.shape[axis] - lag), x.narrow(axis, lag, x.shape[axis] - lag)
            both = inside.narrow(axis, 0, x.shape[axis] - lag) & inside.narrow(
                axis, lag, x.shape[axis] - lag
            )
            a, b = a[both], b[both]
            size = float((a.square().sum() * b.square().sum()).sqrt())
            out[axis, lag - 1] = float((a * b).sum()) / size if size > 0 else 0.0
    return out


def gaussian_level(
    level: NDArray[Any], mean: NDArray[Any], inside: Tensor, coils: int = 1
) -> NDArray[Any]:
    """sigma (X, Y, Z) from the ``level`` of magnitudes, (X, Y, Z), smooth over voxels ``inside``,
    and their ``mean`` (X, Y, Z, volumes).
    """
    safe = np.where(level > 0, level, 1)[..., None]
    share = variance_share_at(mean / safe, coils).mean(
        -1
    )  # as if all volumes had the same: a good place to begin
    for _ in range(ROUNDS):
        sigma = level / np.sqrt(smooth(torch.from_numpy(share), inside).numpy())
        share = variance_share(mean, sigma[..., None], coils).mean(-1)
    return np.asarray(sigma, dtype=level.dtype)
