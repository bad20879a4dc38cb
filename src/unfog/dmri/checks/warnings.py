r"""Warnings about the scan behind a result: its noise, its gradient table, and what was removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri.checks.dropout import dropout_warning
from unfog.dmri.denoising.low_rank import Components
from unfog.dmri.denoising.noise_level import FEW, VOLUMES, Noise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.tensor import determines_tensor, fit_tensors

CORRELATED, SHARED_BY_SLICES, SHARED_BY_VOXELS = 0.1, 0.15, 0.45  # lag-1 correlations
# vectors without sign have no other reversals
FLIPS = {"x": (-1, 1, 1), "y": (1, -1, 1), "z": (1, 1, -1)}
SWAPS = {"x and y": (1, 0, 2), "x and z": (2, 1, 0), "y and z": (0, 2, 1)}
ALIKE = 0.75  # the least eigenvalue of an undenoised scan, over what the law expects
# what may be removed over the noise, of all volumes and of one: phantoms without fault stay below
# 1.04 and 1.08
MORE, MORE_OF_ONE = (1.1, 1.25)
# of coherence: how far ahead it looks, in the smallest side of a voxel; the FA of a fibrous voxel;
# the fewest of them; and the factor, and the standard errors, that a flip must gain
REACH, FIBROUS, FEWEST, BETTER, SURELY = (4.0, 0.4, 5000, 1.05, 2.5)
CUBE = 5  # voxels: the sides of cubes whose fibres count as one measurement
FEW_VOLUMES = 6  # fewer have no law of eigenvalues


def warnings_of(
    data: NDArray[Any],
    gradients: GradientTable,
    inside: NDArray[np.bool_],
    affine: NDArray[Any],
    noise: Noise,
) -> list[str]:
    """Warnings about a scan before it is denoised: already denoised, interpolated, correlated
    noise, slices that dropped out, or flipped b-vectors.

    Args:
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table.
        inside: (X, Y, Z), the mask.
        affine: (4, 4), of the scan.
        noise: The noise estimated from it.

    Returns:
        A sentence for each warning.
    """
    if not float(noise.level.max()) > 0:
        return ["The scan holds no noise at all, so there was nothing to remove."]
    # A scan that was denoised has correlated noise for that reason.
    noise_warning = _denoised(noise.components, int(inside.sum())) or _shared(
        noise.correlation[:, 0]
    )
    warnings = (
        noise_warning,
        dropout_warning(data, gradients, inside),
        flipped(data, gradients, inside, affine),
    )
    return [text for text in warnings if text]


def _denoised(components: Components, voxels: int) -> str | None:
    """A sentence where the scan looks denoised already.

    The smallest eigenvalues of a noisy scan's covariance are spread over [(1 - sqrt g)^2, (1 + sqrt
    g)^2] sigma^2, g volumes a voxel (Marchenko & Pastur); a denoiser has made many of them smaller.
    One may be small where a volume dropped out, so the second smallest counts.
    """
    values, rank = components.eigenvalues.numpy(), components.axes.shape[1]
    ratio = len(values) / voxels
    # Too few voxels, or volumes, for the least eigenvalue to say anything; or it is signal's.
    few = len(values) < FEW_VOLUMES or (len(values) < VOLUMES and len(values) - rank < FEW)
    if ratio >= 0.15 or few:
        return None
    # The eigenvalue below which a quarter lies; the law relates the least to it.
    quarter = float(np.quantile(values[: max(2, len(values) // 2)], 0.5))
    if quarter > 1e-6 * values[-1] and values[1] >= ALIKE * quarter * (
        1 - ratio**0.5
    ) ** 2 / marchenko_pastur_quantile(ratio, 0.25):
        return None
    return (
        "The scan looks denoised already: its noise fills only some of the dimensions it "
        "should; denoise the scan as it was acquired."
    )


def marchenko_pastur_quantile(ratio: float, share: float) -> float:
    """The eigenvalue that a ``share`` of them lie below, of the covariance of unit noise with
    ``ratio`` g < 1 columns a row.

    The density is sqrt((b - v) (v - a)) / (2 pi g v) on [a, b], a and b = (1 -+ sqrt g)^2. With v =
    (a + b) / 2 - (b - a) / 2 cos w the integrand is smooth in w.
    """
    a, b = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    w = np.linspace(0, np.pi, 2001)
    v = (a + b) / 2 - (b - a) / 2 * np.cos(w)
    grown = np.cumsum(np.sin(w) ** 2 / v)
    return float(np.interp(share, grown / grown[-1], v))


def _shared(correlation: Tensor) -> str | None:
    """A sentence where neighbours share noise, by their lag-1 ``correlation`` (3,).

    Slices are measured apart, so noise that they share was put there by resampling, and so was much
    of what voxels share. Less of it within a slice is the scanner's own filter, or zero-filling.
    """
    rho = [float(c) for c in correlation]
    values = ", ".join(f"{value:.2f}" for value in rho)
    if min(rho) >= SHARED_BY_SLICES or max(rho) >= SHARED_BY_VOXELS:
        return (
            f"The scan looks interpolated: neighbours share noise (correlation {values} along "
            "its axes); denoise before any resampling."
        )
    if max(rho) >= CORRELATED:
        return (
            f"The noise is correlated between neighbours ({values} along the axes), as "
            "scanners' filters make it; less of it can be removed."
        )
    return None


def flipped(
    data: NDArray[Any], gradients: GradientTable, inside: NDArray[np.bool_], affine: NDArray[Any]
) -> str | None:
    """A sentence where b-vectors seem to have an axis reversed or two exchanged.

    Fibres go on in the direction in which they point, so ``coherence`` is best where the signs and
    the order of the axes are right (after Schilling et al. 2019; Jeurissen et al. 2014).

    Args:
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table.
        inside: (X, Y, Z), the mask.
        affine: (4, 4), of the scan.

    Returns:
        The sentence; None where nothing seems wrong, or fewer than 5000 voxels are fibrous.
    """
    if not determines_tensor(gradients) or not gradients.b0.any():
        return None
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    turn = affine[:3, :3] / zooms
    tensors = fit_tensors(data[inside], gradients)
    direction, fa = np.zeros((*inside.shape, 3)), np.zeros(inside.shape)
    # Principal directions along the voxel axes.
    direction[inside], fa[inside] = tensors.direction @ turn, tensors.fa
    if int((fa > FIBROUS).sum()) < FEWEST:
        return None
    # Coherence as the table stands, and with each change.
    stands = coherence(direction, fa, zooms)
    changed = {f"{name} reversed": direction * signs for name, signs in FLIPS.items()}
    changed |= {f"{name} exchanged": direction[..., order] for name, order in SWAPS.items()}
    each = {name: coherence(axes, fa, zooms) for name, axes in changed.items()}
    name, best = max(each.items(), key=lambda item: np.nanmean(item[1]))
    gain, error = _mean_by_cubes(best - stands, np.argwhere(fa > FIBROUS))
    ratio = np.nanmean(best) / np.nanmean(stands)
    if ratio < BETTER or gain < SURELY * error:
        return None
    return (
        f"The b-vectors seem flipped: fibres fit together {ratio:.2f} times better "
        f"with {name}; check the table."
    )


def coherence(
    direction: NDArray[Any], fa: NDArray[Any], zooms: NDArray[Any] | None = None
) -> NDArray[Any]:
    """How well fibres continue: (v.v')^2 of each fibrous voxel, v' the direction found ``REACH``
    sides of the smallest voxel ahead and behind along v.

    Args:
        direction: (X, Y, Z, 3), unit axes along those of the array.
        fa: (X, Y, Z).
        zooms: The sides of a voxel, (3,), of which only the ratios matter; equal without.

    Returns:
        (2, fibrous voxels), ahead and behind; 0 where the voxel there is not fibrous, NaN where it
        is outside the array.
    """
    where = np.argwhere(fa > FIBROUS)
    axis = direction[tuple(where.T)]
    sides = np.ones(3) if zooms is None else np.asarray(zooms) / np.min(zooms)
    squares = []
    for ahead in (REACH, -REACH):
        # The voxel ahead in millimetres, if it lies within the array.
        place = np.rint(where + ahead * axis / sides).astype(int)
        within = ((place >= 0) & (place < fa.shape)).all(1)
        there = tuple(place[within].T)
        # (v.v')^2, or 0 where it is not fibrous.
        square = np.full(len(where), np.nan)
        square[within] = (direction[there] * axis[within]).sum(1) ** 2 * (fa[there] > FIBROUS)
        squares.append(square)
    return np.stack(squares)


def _mean_by_cubes(values: NDArray[Any], where: NDArray[np.int64]) -> tuple[float, float]:
    """The mean of ``values`` (2, voxels) at places ``where`` (voxels, 3), and its standard error
    robust to clusters, cubes of ``CUBE`` voxels, since neighbours say the same; NaN are left out.
    """
    finite = np.isfinite(values)
    mean = float(values[finite].mean())
    _, cube = np.unique(where // CUBE, axis=0, return_inverse=True)
    sums = np.bincount(cube, np.where(finite, values - mean, 0).sum(0))
    return mean, float(np.sqrt(np.square(sums).sum())) / int(finite.sum())


def removed_over_noise(removed: NDArray[Any], noise: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
    """The size of what was ``removed`` (voxels, volumes) over that of the noise, root mean squares,
    (volumes,); ``noise(k)`` gives the noise's power in volume k, (voxels,).
    """
    removed_power = np.array([np.mean(np.square(removed[:, k])) for k in range(removed.shape[1])])
    noise_power = np.array([np.mean(noise(k)) for k in range(removed.shape[1])])
    return np.asarray(np.sqrt(removed_power / np.maximum(noise_power, np.finfo(np.float32).tiny)))


def too_much_removed(ratios: NDArray[Any]) -> str | None:
    """A sentence where ``ratios`` (``removed_over_noise``) say that more than noise was removed
    from all volumes or from some: signal, motion or artefact.
    """
    whole, outliers = (
        float(np.sqrt(np.mean(np.square(ratios)))),
        np.flatnonzero(ratios > MORE_OF_ONE),
    )
    if whole > MORE:
        return (
            f"More was removed than noise ({whole:.2f} times): signal went too; look at the "
            "residual, and where a prior followed, try --prior none."
        )
    if len(outliers):
        named = ", ".join(map(str, outliers[:8])) + (" and others" if len(outliers) > 8 else "")
        return (
            f"More was removed than noise from volumes {named} (counted from 0): they moved "
            "or dropped out; look, and leave them out."
        )
    return None
