r"""Denoising a scan by low rank, which needs no training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.low_rank import Rule, hard_threshold, local_svd
from unfog.dmri.denoising.noise_differences import can_take_differences, estimate_by_differences
from unfog.dmri.denoising.noise_distribution import NoiseDistribution, read_distribution
from unfog.dmri.denoising.noise_level import Noise, estimate_noise, gaussian_level
from unfog.dmri.denoising.slice_levels import SliceLevels
from unfog.dmri.gradients import GradientTable, as_table
from unfog.dmri.masks import measured_inside, measured_somewhere, voxels_inside
from unfog.dmri.rician import koay_inversion, without_bias
from unfog.errors import InputError
from unfog.progress import Report

Array = NDArray[np.float32]
# How noise is estimated: from differences within shells where a table has enough directions, and
# else by the Marchenko-Pastur law; or always in the one way.
AUTO, DIFFERENCES, MP = NOISE_LEVELS = "auto", "differences", "mp"


@dataclass(frozen=True)
class Denoised:
    """A denoised scan, what is known of its noise, and the data.

    ``signal`` (X, Y, Z, volumes) is the data outside the mask. ``sigma`` (X, Y, Z) is the deviation
    of the noise in every real and imaginary part. ``expected_error`` (X, Y, Z) is the root mean
    square over volumes, sigma outside the mask. ``noise`` is that of the magnitudes. ``measured``
    (X, Y, Z, volumes) are the magnitudes, less the bias of noise if it was taken from the signal
    too. ``distribution`` is what the values say of their noise, ``coils`` the number that was used,
    ``unbiased`` whether the bias was taken away, ``notes`` what a reader should know of them,
    ``slices`` how the level differs between slices, if that was asked.
    """

    signal: Array
    sigma: Array
    expected_error: Array
    noise: Noise
    measured: Array
    distribution: NoiseDistribution = field(default_factory=NoiseDistribution)
    coils: int = 1
    unbiased: bool = True
    notes: tuple[str, ...] = ()
    slices: SliceLevels | None = None


def denoise(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    rule: Rule = hard_threshold,
    distribution: NoiseDistribution | None = None,
    noise_level: str = MP,
    report: Report | None = None,
) -> Denoised:
    """Denoise magnitudes by local singular values of the scan's principal components.

        level, components <- the noise of y;   z = scores of y / level;
        E[y] ~ level x local SVD of z;   S = Koay's inverse of E[y]

    Dividing by the level makes the noise alike everywhere, so that one Marchenko-Pastur law holds
    for all patches.

    Args:
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table, of unfog or of DIPY; its length is checked.
        mask: (X, Y, Z), where to denoise; everywhere without one.
        coils: How many were combined by sum of squares; read from the air by default, 1 where there
            is none.
        unbias: Whether to take away what noise adds to magnitudes; nothing is taken where the data
            say that they are none (``noise_distribution``).
        rule: What becomes of singular values (``unfog.dmri.denoising.low_rank``).
        distribution: Of the noise, where it is known; read from the data by default.
        noise_level: How the noise is estimated, one of ``NOISE_LEVELS``.
        report: Called as ``report(done, total)``, counting planes.

    Returns:
        Signal, noise level and expected error.

    Raises:
        InputError: Table or mask do not match the scan, the mask is empty, or values are not
            finite.
    """
    y, inside = _checked(data, gradients, mask)
    # The noise level, and the principal components of y / level.
    noise = _noise_of(y, inside, as_table(gradients), noise_level)
    level, components = torch.where(noise.level > 0, noise.level, 1.0)[..., None], noise.components
    # Low rank patch by patch, in the scores of the components.
    scores, error = local_svd(components.scores(y / level), inside, rule, report)
    mean = torch.where(inside[..., None], components.whole(scores) * level, y).numpy()
    # The distribution of the noise, and by it the deviation of real and imaginary parts.
    one_coil = gaussian_level(noise.level.numpy(), mean, inside, 1)
    note = None
    if distribution is None:
        distribution = _distribution_of(y, gradients, inside, noise, one_coil)
        note = distribution.sentence(coils, unbias)
    coils, unbias = coils or distribution.coils or 1, unbias and distribution.magnitudes
    sigma = one_coil if distribution.magnitudes else noise.level.numpy()
    if distribution.magnitudes and coils > 1:
        sigma = gaussian_level(noise.level.numpy(), mean, inside, coils)
    sigma = np.where(measured_somewhere(data), sigma, 0).astype(np.float32)
    # The error of r scores, spread over all volumes.
    share = (error.clamp(min=0) * scores.shape[3] / y.shape[3]).sqrt().numpy()
    expected = (sigma * np.where(inside.numpy(), share, 1)).astype(np.float32)
    # From E[y] to the signal; the data lose the same bias.
    measured = y.numpy()
    if unbias:
        mean = np.where(
            inside.numpy()[..., None], koay_inversion(mean, sigma[..., None], coils), mean
        )
        measured = without_bias(measured, mean, sigma[..., None], coils)
    notes = () if note is None else (note,)
    return Denoised(mean, sigma, expected, noise, measured, distribution, coils, unbias, notes)


def _noise_of(
    y: torch.Tensor, inside: torch.Tensor, table: GradientTable, noise_level: str
) -> Noise:
    """The noise of ``y``, estimated in the way of that name."""
    if noise_level not in NOISE_LEVELS:
        raise InputError(
            f"Noise is estimated by one of {', '.join(NOISE_LEVELS)}, not {noise_level!r}."
        )
    differences = can_take_differences(table)
    if noise_level == DIFFERENCES and not differences:
        raise InputError(
            "No shell has 20 directions or more, whose differences hold noise alone; estimate the "
            "noise by mp."
        )
    if noise_level == MP or not differences:
        return estimate_noise(y, inside)
    return estimate_by_differences(y, inside, table)


def _distribution_of(
    y: torch.Tensor, gradients: Any, inside: torch.Tensor, noise: Noise, one_coil: NDArray[Any]
) -> NoiseDistribution:
    """The distribution of the noise of ``y``, given its level and that of one coil's parts."""
    level, weighted = noise.level.numpy(), ~as_table(gradients).b0
    correlation = float(noise.correlation[:, 0].max())
    return read_distribution(y.numpy(), weighted, inside.numpy(), level, one_coil, correlation)


def _checked(
    data: NDArray[Any], gradients: Any, mask: NDArray[Any] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The data as a tensor (X, Y, Z, volumes), and the voxels to denoise (X, Y, Z)."""
    if data.ndim != 4 or data.shape[3] < 2:
        raise InputError(
            f"A diffusion scan is (X, Y, Z, volumes) with 2 volumes or more, not {data.shape}; "
            "give the whole series."
        )
    if len(as_table(gradients)) != data.shape[3]:
        raise InputError(
            f"The table describes {len(as_table(gradients))} volumes and the scan has "
            f"{data.shape[3]}; give its own table."
        )
    inside = voxels_inside(mask, data.shape[:3])
    if inside.shape != data.shape[:3]:
        raise InputError(
            f"The mask is {inside.shape} and the scan {data.shape[:3]}; make it on the scan's grid."
        )
    if not np.isfinite(data).all():
        raise InputError("The scan holds values that are not finite; set them to 0.")
    inside = measured_inside(mask, data)
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32)), torch.from_numpy(inside)
