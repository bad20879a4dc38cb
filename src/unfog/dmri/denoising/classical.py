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
from unfog.dmri.rician import koay_inversion, variance_share, without_bias
from unfog.errors import InputError
from unfog.progress import Report

Array = NDArray[np.float32]
# How noise is estimated: from differences within shells where a table has enough directions, and
# else by the Marchenko-Pastur law; or always in the one way.
AUTO, DIFFERENCES, MP = NOISE_LEVELS = "auto", "differences", "mp"
ROUNDS, ALIKE = 6, 0.02  # volumes are divided by their noise at most so often, while it changes


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

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.dmri.notebook import denoised_html

        return denoised_html(self)


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

        level, components <- the noise of y / c;   z = scores of y / (level c);
        E[y] ~ level x c x local SVD of z;   S = Koay's inverse of E[y]

    Dividing by the level makes the noise alike everywhere, and by c (volumes,) alike in all
    volumes, so that one Marchenko-Pastur law holds for all patches. c is 1 at first. Magnitudes of
    weak signals vary less than the noise, so where volumes lie near its floor c is then the
    deviation that E[y] / sigma says.

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
    table = as_table(gradients)
    even = torch.ones(y.shape[3])
    first = _low_rank(y, inside, _noise_of(y, inside, table, noise_level), even, rule, report)
    # The distribution of the noise, and by it the deviation of real and imaginary parts.
    note, sigma = None, first.sigma(inside, 1)
    if distribution is None:
        distribution = _distribution_of(y, table, inside, first.noise, sigma)
        note = distribution.sentence(coils, unbias)
    coils, unbias = coils or distribution.coils or 1, unbias and distribution.magnitudes
    sigma = sigma if coils == 1 else first.sigma(inside, coils)
    if distribution.magnitudes and bool((first.noise.level[inside] > 0).all()):
        # Weak volumes have less noise than others: once more with each over its own.
        for _ in range(ROUNDS):
            found = first.by_volume(inside, sigma, coils)
            if float((found / first.factors - 1).abs().max()) < ALIKE:
                break
            noise = _noise_of(y / found, inside, table, noise_level)
            first = _low_rank(y, inside, noise, found, rule, report)
            sigma = first.sigma(inside, coils)
    noise, mean = first.noise, first.mean
    sigma = sigma if distribution.magnitudes else noise.level.numpy()
    sigma = np.where(measured_somewhere(data), sigma, 0).astype(np.float32)
    # The error of r scores, spread over all volumes.
    rank = noise.components.axes.shape[1]
    share = (first.error.clamp(min=0) * rank / y.shape[3]).sqrt().numpy()
    expected = (sigma * np.where(inside.numpy(), share, 1)).astype(np.float32)
    # From E[y] to the signal; the data lose the same bias.
    measured = y.numpy()
    if unbias:
        mean = np.where(
            inside.numpy()[..., None], koay_inversion(mean, sigma[..., None], coils), mean
        )
        measured = without_bias(measured, mean, sigma[..., None], coils)
    notes = () if note is None else (note,)
    noise = noise._replace(components=noise.components.times(first.factors))
    return Denoised(mean, sigma, expected, noise, measured, distribution, coils, unbias, notes)


@dataclass(frozen=True)
class _LowRank:
    """The ``mean`` E[y] (X, Y, Z, volumes) that low rank gives, with the ``noise`` of y over the
    ``factors`` (volumes,) that volumes were divided by, and the square ``error`` of a score.
    """

    noise: Noise
    mean: Array
    error: torch.Tensor
    factors: torch.Tensor

    def sigma(self, inside: torch.Tensor, coils: int) -> NDArray[Any]:
        """The deviation of the noise in real and imaginary parts, (X, Y, Z)."""
        level, factors = self.noise.level.numpy(), self.factors.numpy()
        return gaussian_level(level, self.mean, inside, coils, factors)

    def by_volume(self, inside: torch.Tensor, sigma: NDArray[Any], coils: int) -> torch.Tensor:
        """The deviation of the noise in each volume over that in all, whose mean square is 1,
        (volumes,), given ``sigma``: magnitudes vary the less, the nearer a signal is to nothing.
        """
        sigma = sigma[inside.numpy()]
        share = variance_share(self.mean[inside.numpy()], sigma[:, None], coils)
        weight = np.square(sigma)[:, None] / max(float(np.square(sigma).sum()), 1e-30)
        square = torch.from_numpy((weight * share).sum(0))
        return (square / square.mean()).sqrt().to(self.factors.dtype)


def _low_rank(
    y: torch.Tensor,
    inside: torch.Tensor,
    noise: Noise,
    factors: torch.Tensor,
    rule: Rule,
    report: Report | None,
) -> _LowRank:
    """Low rank patch by patch, in the scores of the components of y / (level x factors)."""
    scale = torch.where(noise.level > 0, noise.level, 1.0)[..., None] * factors
    components = noise.components
    scores, error = local_svd(components.scores(y / scale), inside, rule, report)
    mean = torch.where(inside[..., None], components.whole(scores) * scale, y)
    return _LowRank(noise, mean.numpy(), error, factors)


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
