r"""The noise of a scan, from the scan alone: its level in space, and its correlation between
neighbours.
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

SPREAD = 2.5  # voxels: the deviation of the Gaussian that averages the level
LAGS, ROUNDS = 2, 3


class Noise(NamedTuple):
    """What is known of a scan's noise: its standard deviation ``level`` (X, Y, Z), its
    ``correlation`` between neighbours (3 axes, 2 lags), and the scan's principal ``components``.
    """

    level: Tensor
    correlation: Tensor
    components: Components

    @property
    def independent(self) -> float:
        """The share of voxels that counts as having noise of their own, prod_axes 1 / (1 + 2
        rho_1^2 + 2 rho_2^2).
        """
        return float(1 / (1 + 2 * self.correlation.square().sum(1)).prod())


def estimate_noise(x: Tensor, inside: Tensor) -> Noise:
    """Estimate the noise of ``x`` (X, Y, Z, volumes) in the voxels ``inside`` (X, Y, Z).

    A scan of n voxels in m volumes has few principal components of signal. The others are images of
    noise alone, whatever the signal is: the widest set of smallest eigenvalues that the
    Marchenko-Pastur law allows (Veraart et al. 2016, there patch by patch). Their mean square at a
    voxel, averaged over a few voxels, is sigma^2, and their product between neighbours the
    correlation. Taken from the whole scan, and not from patches, the law has so many rows that
    noise shared by neighbours disturbs it little; counting n ``independent`` rows instead of n
    corrects for the rest.

    ``components`` are those of x / level inside. Outside, the level is the nearest average inside.
    A scan of exactly constant volumes has noise 0 and correlation 0. Raises `InputError` for an
    empty mask.
    """
    if not bool(inside.any()):
        raise InputError("The mask is empty; mark the voxels to look at with values other than 0.")
    level, noise = torch.ones(inside.shape, dtype=x.dtype), None
    for _ in range(ROUNDS):  # x / level is whiter in each round
        safe = torch.where(level > 0, level, 1.0)
        # The components of noise in x / level, as samples as independent as the last round found.
        components = global_pca(x[inside] / safe[inside, None], noise.independent if noise else 1.0)
        # Their mean square at each voxel, averaged in space.
        variance = torch.zeros_like(level)
        variance[inside] = components.residual
        estimate = safe * smooth(variance, inside).clamp(min=0).sqrt()
        noise = Noise(estimate, _correlation(components, x, safe, inside), components)
        level = estimate
    assert noise is not None
    return noise


def smooth(values: Tensor, inside: Tensor) -> Tensor:
    """The Gaussian average of ``values`` (X, Y, Z) over the voxels ``inside``, at every voxel; far
    outside the nearest average.
    """
    try:
        from scipy.ndimage import distance_transform_edt, gaussian_filter
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    weight = inside.numpy().astype(np.float64)
    # Normalised convolution: smoothed values inside over the smoothed mask.
    share = gaussian_filter(weight, SPREAD, mode="constant")
    total = gaussian_filter(values.double().numpy() * weight, SPREAD, mode="constant")
    near = share > 1e-3
    mean = np.where(near, total / np.where(near, share, 1), 0)
    # Where hardly any weight is near, the nearest average.
    nearest = distance_transform_edt(~near, return_distances=False, return_indices=True)
    return torch.from_numpy(mean[tuple(nearest)]).to(values.dtype)


def _correlation(components: Components, x: Tensor, level: Tensor, inside: Tensor) -> Tensor:
    """The correlation along each axis at each lag, (3, 2), of what the components leave of x /
    level.
    """
    residual = torch.zeros_like(x)
    rows = x[inside] / level[inside, None] - components.mean
    residual[inside] = rows - (rows @ components.axes) @ components.axes.T
    return autocorrelation(residual, inside, LAGS)


def autocorrelation(x: Tensor, inside: Tensor, lags: int) -> Tensor:
    """The correlation of images between voxels a few apart.

    Args:
        x: (X, Y, Z, volumes).
        inside: (X, Y, Z); pairs count where both voxels are inside.
        lags: The largest distance, in voxels.

    Returns:
        (3, lags), along each axis at 1 to ``lags`` voxels; 0 beyond the grid or where x is 0.
    """
    out = torch.zeros(3, lags)
    for axis in range(3):
        for lag in range(1, min(lags, x.shape[axis] - 1) + 1):
            a, b = x.narrow(axis, 0, x.shape[axis] - lag), x.narrow(axis, lag, x.shape[axis] - lag)
            # Pairs of voxels that are both inside.
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
    """The noise level sigma of the real and imaginary parts, from that of magnitudes (Koay & Basser
    2006).

    Magnitudes of weak signals vary less than the noise: var y / sigma^2 = 2 coils + (nu / sigma)^2
    - (E y / sigma)^2.

    Args:
        level: (X, Y, Z), the standard deviation of magnitudes.
        mean: (X, Y, Z, volumes), the mean magnitudes E[y].
        inside: (X, Y, Z), the voxels over which that ratio is averaged in space.
        coils: How many were combined by sum of squares.

    Returns:
        sigma, (X, Y, Z).
    """
    safe = np.where(level > 0, level, 1)[..., None]
    # var y / sigma^2 as if it were the same in all volumes, to begin with.
    share = variance_share_at(mean / safe, coils).mean(-1)
    for _ in range(ROUNDS):
        # Fixed-point iteration: sigma from the ratio, the ratio from sigma.
        sigma = level / np.sqrt(smooth(torch.from_numpy(share), inside).numpy())
        share = variance_share(mean, sigma[..., None], coils).mean(-1)
    return np.asarray(sigma, dtype=level.dtype)
