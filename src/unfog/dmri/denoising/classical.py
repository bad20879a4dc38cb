r"""Denoising by low rank: what needs no training.

    level, components <- the noise of y;   z = scores of y / level;   E[y] ~ level x local SVD of z;
    S = Koay's inverse of E[y]

Dividing by the level makes the noise alike everywhere, so that one law holds for all patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.low_rank import Rule, hard_threshold, local_svd
from unfog.dmri.denoising.noise_level import Noise, estimate_noise, gaussian_level
from unfog.dmri.gradients import as_table
from unfog.dmri.masks import voxels_inside
from unfog.dmri.rician import koay_inversion, without_bias
from unfog.errors import InputError
from unfog.progress import Report

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Denoised:
    """``signal`` (X, Y, Z, volumes); ``sigma`` (X, Y, Z) of the noise; ``expected_error`` (X, Y,
    Z), root mean square over volumes.

    ``noise`` is what was found out about the noise of the magnitudes, and ``measured`` they
    themselves, less what noise adds to them where that was taken from the signal. Outside the mask
    the signal is the data's and the error sigma.
    """

    signal: Array
    sigma: Array
    expected_error: Array
    noise: Noise
    measured: Array


def denoise(
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    unbias: bool = True,
    rule: Rule = hard_threshold,
    report: Report | None = None,
) -> Denoised:
    """Denoise magnitudes ``data`` (X, Y, Z, volumes) in the ``mask`` (X, Y, Z), of ``coils``
    combined by sum of squares.

    ``gradients`` is a table of unfog or of DIPY; ``unbias`` takes away what noise adds to
    magnitudes; ``report(done, total)`` counts planes.
    """
    y, inside = _checked(data, gradients, mask)
    noise = estimate_noise(y, inside)
    level, components = torch.where(noise.level > 0, noise.level, 1.0)[..., None], noise.components
    scores, error = local_svd(components.scores(y / level), inside, rule, report)
    mean = torch.where(inside[..., None], components.whole(scores) * level, y).numpy()
    sigma = gaussian_level(noise.level.numpy(), mean, inside, coils)
    expected = np.where(
        inside.numpy(), sigma * (error * scores.shape[3] / y.shape[3]).sqrt().numpy(), sigma
    )
    measured = y.numpy()
    if unbias:
        mean = np.where(
            inside.numpy()[..., None], koay_inversion(mean, sigma[..., None], coils), mean
        )
        measured = without_bias(measured, mean, sigma[..., None], coils)
    return Denoised(mean, sigma, expected.astype(np.float32), noise, measured)


def _checked(
    data: NDArray[Any], gradients: Any, mask: NDArray[Any] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The data as a tensor, and the voxels to denoise."""
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
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32)), torch.from_numpy(inside)
