r"""The noise of a scan, from the scan alone: its level in space, and its correlation between
neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri.denoising.low_rank import Components, above_noise, global_pca, marchenko_pastur
from unfog.dmri.rician import variance_share, variance_share_at
from unfog.errors import InputError, MissingExtra

SPREAD = 2.5  # voxels: the deviation of the Gaussian that averages the level
LAGS, ROUNDS = 2, 3
FEW, VOLUMES = 2, 16  # images of noise alone, of so few volumes; with fewer, signal is among them
SIDE, STEP = 5, 2  # of patches of few volumes, and the distance between them, in voxels
CLEAR = 1.1  # times the noise that a component of few volumes must have


class Noise(NamedTuple):
    """What is known of a scan's noise: its standard deviation ``level`` (X, Y, Z), its
    ``correlation`` between neighbours (3 axes, 2 lags), the scan's principal ``components``, and
    the ``method`` that found it.
    """

    level: Tensor
    correlation: Tensor
    components: Components
    method: str = "mp"

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

    A scan of few volumes (six directions) has signal in all or nearly all of its components, and
    its noise is found patch by patch.

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
        if x.shape[3] < VOLUMES and x.shape[3] - components.axes.shape[1] < FEW:
            return _of_few_volumes(x, inside)
        # Their mean square at each voxel, averaged in space.
        variance = torch.zeros_like(level)
        variance[inside] = components.residual
        estimate = safe * smooth(variance, inside).clamp(min=0).sqrt()
        noise = Noise(estimate, autocorrelation_of(components, x, safe, inside), components)
        level = estimate
    assert noise is not None
    return noise


def _of_few_volumes(x: Tensor, inside: Tensor) -> Noise:
    """The noise of a scan whose components hold hardly any image of noise alone: by the law in
    patches, where signals are more alike (Veraart et al. 2016). What neighbours share of it cannot
    be told from signal, and counts as 0.
    """
    variance, known = _patch_variance(x, inside)
    level = smooth(variance, known).clamp(min=0).sqrt()
    safe = torch.where(level > 0, level, 1.0)
    components = above_noise(x[inside] / safe[inside, None], CLEAR)
    return Noise(level, torch.zeros(3, LAGS), components)


def _patch_variance(x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The variance of the noise at the middles of patches inside, (X, Y, Z), and which voxels these
    are; all of the mask's variance in one place where no patch has its middle inside.
    """
    variance, known = torch.zeros_like(inside, dtype=x.dtype), torch.zeros_like(inside)
    sides = [min(SIDE, size) for size in x.shape[:3]]
    first, even = [side // 2 for side in sides], _even_changes(sides).to(x.dtype)
    for plane in range(0, x.shape[0] - sides[0] + 1, STEP):
        # (Y', Z', volumes, voxels of a patch)
        slab = x[plane : plane + sides[0]].unfold(1, sides[1], STEP).unfold(2, sides[2], STEP)
        patches = slab.permute(1, 2, 3, 0, 4, 5).flatten(3)
        place = (
            plane + first[0],
            slice(first[1], first[1] + STEP * len(patches), STEP),
            slice(first[2], first[2] + STEP * patches.shape[1], STEP),
        )
        at = inside[place]
        # Less what changes evenly over a patch, most of the signal's changes.
        rows = patches[at] - patches[at] @ even @ even.T
        samples = max(len(even) - even.shape[1], 1)
        values = torch.linalg.eigvalsh((rows @ rows.mT).double() / samples)
        variances = torch.zeros(at.shape, dtype=x.dtype)
        variances[at] = marchenko_pastur(values, samples)[1].to(x.dtype)
        variance[place], known[place] = variances, at
    if not bool(known.any()):
        variance[inside], known = x[inside].var(0, correction=0).min(), inside
    return variance, known


def _even_changes(sides: Sequence[int]) -> Tensor:
    """An orthonormal basis (voxels, n) of what is constant over a patch or changes evenly along one
    of its axes.
    """
    places = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in sides], indexing="ij")
    columns = [torch.ones(sides, dtype=torch.float64), *places]
    varying = [c for k, c in enumerate(columns) if k == 0 or sides[k - 1] > 1]
    basis: Tensor = torch.linalg.qr(torch.stack([c.flatten() for c in varying], 1)).Q
    return basis


def smooth(values: Tensor, inside: Tensor, width: float = SPREAD) -> Tensor:
    """The average of a map in space.

    Args:
        values: (X, Y, Z[, n]).
        inside: (X, Y, Z), the voxels that count.
        width: The deviation of the Gaussian window, in voxels.

    Returns:
        Like ``values``, at every voxel; far outside the nearest average.
    """
    try:
        from scipy.ndimage import distance_transform_edt, gaussian_filter
    except ImportError as error:
        raise MissingExtra("dmri", "scipy") from error
    weight = inside.numpy().astype(np.float64)
    # Normalised convolution: smoothed values inside over the smoothed mask.
    share = gaussian_filter(weight, width, mode="constant")
    near = share > 1e-3
    if values.ndim == 4:
        weight, share, near = weight[..., None], share[..., None], near[..., None]
    spread = [width] * 3 + [0.0] * (values.ndim - 3)
    total = gaussian_filter(values.double().numpy() * weight, spread, mode="constant")
    mean = np.where(near, total / np.where(near, share, 1), 0)
    # Where hardly any weight is near, the nearest average.
    far = ~near[..., 0] if values.ndim == 4 else ~near
    nearest = distance_transform_edt(far, return_distances=False, return_indices=True)
    return torch.from_numpy(mean[tuple(nearest)]).to(values.dtype)


def autocorrelation_of(components: Components, x: Tensor, level: Tensor, inside: Tensor) -> Tensor:
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
    level: NDArray[Any],
    mean: NDArray[Any],
    inside: Tensor,
    coils: int = 1,
    by_volume: NDArray[Any] | float = 1.0,
) -> NDArray[Any]:
    """The noise level sigma of the real and imaginary parts, from that of magnitudes (Koay & Basser
    2006).

    Magnitudes of weak signals vary less than the noise: var y / sigma^2 = 2 coils + (nu / sigma)^2
    - (E y / sigma)^2.

    Args:
        level: (X, Y, Z), the standard deviation of magnitudes, divided by ``by_volume``.
        mean: (X, Y, Z, volumes), the mean magnitudes E[y].
        inside: (X, Y, Z), the voxels over which that ratio is averaged in space.
        coils: How many were combined by sum of squares.
        by_volume: (volumes,), what the magnitudes were divided by.

    Returns:
        sigma, (X, Y, Z).
    """
    safe, squares = np.where(level > 0, level, 1)[..., None], np.square(by_volume)
    # var y / sigma^2 as if it were the same in all volumes, to begin with.
    share = (variance_share_at(mean / safe, coils) / squares).mean(-1)
    for _ in range(ROUNDS):
        # Fixed-point iteration: sigma from the ratio, the ratio from sigma.
        sigma = level / np.sqrt(smooth(torch.from_numpy(share), inside).numpy())
        share = (variance_share(mean, sigma[..., None], coils) / squares).mean(-1)
    return np.asarray(sigma, dtype=level.dtype)
