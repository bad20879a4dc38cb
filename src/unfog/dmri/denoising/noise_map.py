r"""Noise whose deviation over space is known: from volumes that were acquired without excitation,
or from a map of it, as the g-factor of parallel imaging makes one.

The scan is divided by the map, so that its noise is alike everywhere and one law holds for all
patches, denoised, and multiplied back (Moeller et al. 2021, "NORDIC"). Only the map's shape in
space is used: its scale is found in the scan, and says whether the map belongs to it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri.denoising.classical import Denoised, denoise
from unfog.dmri.denoising.noise_distribution import MOST_COILS, mean_over_deviation
from unfog.dmri.denoising.noise_level import smooth
from unfog.dmri.denoising.slice_levels import AXES, slice_levels
from unfog.errors import InputError

SAMPLES = 2000  # over how many values a level is averaged: it then errs by 1 %
LEAST_WIDTH, MOST_WIDTH = 0.6, 4.0  # voxels: deviations of the Gaussian
REAL = 0.71  # E[m]^2 / E[m^2]: 2 / pi of real parts' magnitudes, pi / 4 and more of complex ones'
APART, FEWEST = 0.15, 500  # correlation of volumes of noise at most, and voxels that tell it
ALIKE = 0.5, 2.0  # the scan's noise over that of volumes of noise


class NoiseMap(NamedTuple):
    """The deviation of noise over space, ``level`` (X, Y, Z), and where it is from, ``name``. One
    read from volumes of noise is ``absolute``, and may tell the number of ``coils`` whose squares
    were summed.
    """

    level: NDArray[np.float32]
    name: str = "the noise map"
    absolute: bool = False
    coils: int | None = None


def map_of_noise(
    noise: NDArray[Any], coils: int | None = None, name: str = "the noise volumes"
) -> NoiseMap:
    """The level of noise in real and imaginary parts, from magnitudes without signal.

        E[m^2] = 2 coils sigma^2;   E[m]^2 / E[m^2] tells the coils,

    both averaged over a Gaussian window as wide as few volumes need, once what is alike in whole
    slices, rows and columns is divided out, which the window would blur.

    Args:
        noise: (X, Y, Z, volumes), magnitudes.
        coils: How many were combined by sum of squares; told from the noise by default.

        name: Of the volumes, for messages.

    Returns:
        The map.

    Raises:
        InputError: The volumes hold nothing, or more than noise.
    """
    measured = torch.from_numpy((noise > 0).any(-1))
    if not bool(measured.any()):
        raise InputError("The volumes of noise are 0 everywhere; name others in --norf.")
    values = torch.from_numpy(np.asarray(noise, np.float32))
    factors = _of_slices(values.square().mean(-1), measured, noise.shape[-1])
    values = values / factors.sqrt()[..., None]
    # Values of a window of deviation w in n volumes: n (2 sqrt(pi) w)^3.
    width = (SAMPLES / noise.shape[-1]) ** (1 / 3) / (2 * math.sqrt(math.pi))
    width = min(max(width, LEAST_WIDTH), MOST_WIDTH)
    power = smooth(values.square().mean(-1), measured, width)
    if coils is None:
        mean = smooth(values.mean(-1), measured, width)
        coils = _coils(float((mean.square() / power)[measured].median()))
    _check_apart(values[measured] / power[measured, None].clamp(min=1e-30).sqrt(), name)
    level = (factors * power.clamp(min=0) / (2 * (coils or 1))).sqrt()
    return NoiseMap(level.numpy(), name, True, coils)


def _check_apart(rows: Tensor, name: str) -> None:
    """`InputError` where volumes (n, volumes), divided by their level, share more than noise does:
    it is drawn anew in each.
    """
    if rows.shape[1] < 2 or len(rows) < FEWEST:
        return
    shared = torch.corrcoef(rows.T).triu(1).abs().max()
    if float(shared) > APART:
        raise InputError(
            f"The values of {name} go together between volumes (correlation {float(shared):.2f}), "
            "so these are not noise alone; check --norf, which counts from 0."
        )


def _of_slices(power: Tensor, measured: Tensor, volumes: int) -> Tensor:
    """The product of three profiles, one along each axis, nearest to ``power`` (X, Y, Z) over the
    voxels ``measured``, each drawn towards 1 as far as chance explains it (James & Stein).
    """
    product = torch.full_like(power, float(power[measured].mean()))
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        count = measured.sum(others, keepdim=True)
        profile = (power / product * measured).sum(others, keepdim=True) / count.clamp(min=1)
        # |n|^2 of complex noise has the deviation of its mean: 1 / values, by chance.
        chance = float(1 / (volumes * count[count > 0].double().mean()))
        spread = float(profile[count > 0].var(correction=0))
        kept = max(0.0, 1 - chance / spread) if spread > 0 else 0.0
        product = product * torch.where(count > 0, 1 + kept * (profile - 1), 1.0)
    return product


def _coils(share: float) -> int | None:
    """The number of coils of which E[m]^2 / E[m^2] is this ``share``; None of real parts."""
    if share < REAL:
        return None
    # With r the mean over the deviation, r^2 / (1 + r^2).
    ratios = np.array([mean_over_deviation(n) for n in range(1, MOST_COILS + 1)])
    return int(np.abs(ratios**2 / (1 + ratios**2) - share).argmin()) + 1


def whole_map(level: NDArray[Any], inside: NDArray[np.bool_], name: str) -> NDArray[np.float32]:
    """A map that is above 0 everywhere: outside the head the nearest value takes the place of 0.

    Args:
        level: (X, Y, Z).
        inside: (X, Y, Z), the head.
        name: Of the map, for the error.

    Returns:
        (X, Y, Z).

    Raises:
        InputError: The map is negative somewhere, or 0 in the head.
    """
    from scipy.ndimage import distance_transform_edt

    if (level < 0).any():
        raise InputError(f"{name} has negative values; a noise map holds standard deviations.")
    if missing := int((inside & (level <= 0)).sum()):
        raise InputError(
            f"{name} is 0 in {missing} voxels of the head; give a map of all of it, or a --mask of "
            "where it is known."
        )
    nearest = distance_transform_edt(level <= 0, return_distances=False, return_indices=True)
    return np.asarray(level[tuple(nearest)], dtype=np.float32)


def denoise_by_map(
    data: NDArray[Any],
    gradients: Any,
    noise_map: NoiseMap,
    mask: NDArray[np.bool_],
    *,
    coils: int | None = None,
    **options: Any,
) -> Denoised:
    """Denoise by low rank a scan divided by its noise map, and multiply back.

    Args:
        data: (X, Y, Z, volumes).
        gradients: The scan's table.
        noise_map: Above 0 everywhere.
        mask: (X, Y, Z), where to denoise.
        coils: How many were combined by sum of squares; as the map or the air tells by default.
        **options: Of ``classical.denoise``.

    Returns:
        As ``classical.denoise`` gives it.

    Raises:
        InputError: As there; or the map was read from volumes that are not of this scan's noise.
    """
    level = noise_map.level
    coils = noise_map.coils if coils is None else coils
    one = denoise(data / level[..., None], gradients, mask, coils=coils, **options)
    noise = one.noise._replace(level=one.noise.level * torch.from_numpy(level))
    found = replace(
        one,
        signal=one.signal * level[..., None],
        measured=one.measured * level[..., None],
        sigma=one.sigma * level,
        expected_error=one.expected_error * level,
        noise=noise,
    )
    ratio = over_map(found.sigma, noise_map, mask)
    if noise_map.absolute and not ALIKE[0] < ratio < ALIKE[1]:
        raise InputError(
            f"The scan's noise is {ratio:.2g} times that of {noise_map.name}, so these are not "
            "noise of this scan alone; check --norf, which counts from 0."
        )
    return found


def denoise_by_slices(
    data: NDArray[Any], gradients: Any, mask: NDArray[np.bool_], **options: Any
) -> Denoised:
    """Denoise by low rank, and where the noise clearly differs from slice to slice anew with its
    level by slice as a map.

    Args:
        data: (X, Y, Z, volumes).
        gradients: The scan's table.
        mask: (X, Y, Z), where to denoise.
        **options: Of ``classical.denoise``.

    Returns:
        As ``classical.denoise`` gives it, with the levels of ``slices``.
    """
    first = denoise(data, gradients, mask, **options)
    levels = slice_levels(data, first.noise, mask)
    if levels is None or not levels.clear:
        return replace(first, slices=levels)
    found = NoiseMap(levels.map(mask.shape), "the level by slice")
    note = (
        f"The noise differs from slice to slice along {AXES[levels.axis]} (by "
        f"{100 * levels.spread:.0f} %), so the scan was denoised over its level by slice."
    )
    again = denoise_by_map(data, gradients, found, mask, **options)
    return replace(again, slices=levels, notes=(*again.notes, note))


def over_map(sigma: NDArray[Any], noise_map: NoiseMap, mask: NDArray[np.bool_]) -> float:
    """The median over the ``mask`` of the noise ``sigma`` (X, Y, Z) over that of the map."""
    return float(np.median((sigma / noise_map.level)[mask]))
