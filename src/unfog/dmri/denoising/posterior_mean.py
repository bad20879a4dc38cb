r"""Denoising by the prior: the posterior mean of every shell given its noisy coefficients, and its
expected error.

Noise is taken as Gaussian with a known level, which may vary in space: magnitudes are corrected
before (``unfog.dmri.rician``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool3d, pad

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.core.tiles import Place, blended, places
from unfog.dmri.gradients import GradientTable
from unfog.dmri.masks import voxels_inside
from unfog.dmri.shells import Shell, shells, signals
from unfog.errors import InputError
from unfog.progress import Report

SIDE, OVERLAP = 32, 8
PROBES = 1

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Estimate:
    """A posterior mean: the ``signal`` (X, Y, Z, volumes), and its ``expected_error`` (X, Y, Z),
    root mean square over the volumes with diffusion weighting.
    """

    signal: Array
    expected_error: Array


@dataclass(frozen=True)
class NoisyShell:
    """A shell on the prior's scale, where b = 0 in the mask is near 1: ``x`` (16, X, Y, Z), with
    noise of deviation ``level`` (X, Y, Z).
    """

    shell: Shell
    x: Tensor
    level: Tensor

    def at(self, place: Place, denoiser: Denoiser) -> tuple[Tensor, Tensor]:
        """A tile as the state x_t (1, 16, *size) of the diffusion, and its time t.

        Coefficients with white noise of deviation s are x_t / alpha at noise level s. A tile has
        one level, the root mean square of its voxels'.
        """
        noise = self.level[place].double().square().mean().sqrt()
        t = denoiser.process.t_of_noise_level(noise)
        return self.x[:, *place][None] * denoiser.process.alpha(t).to(self.x), t


def measure(
    data: NDArray[Any],
    gradients: GradientTable,
    sigma: float | NDArray[Any],
    mask: NDArray[Any] | None = None,
    least: int | None = None,
) -> tuple[list[NoisyShell], float]:
    """The shells of a scan as the prior sees them.

    Args:
        data: (X, Y, Z, volumes), signals with Gaussian noise.
        gradients: The scan's table.
        sigma: Deviation of the noise, one number or (X, Y, Z).
        mask: (X, Y, Z), where the scale is taken; everywhere without one.
        least: The fewest directions a shell may have; as many as coefficients unless given.

    Returns:
        The shells, and the scale their signals were divided by: the median of b = 0 inside.

    Raises:
        InputError: The shapes do not match, the noise is not above 0, the scan has no signal at b =
            0 or no diffusion weighting, or a shell has too few directions.
    """
    y, level, inside = _checked(data, gradients, sigma, mask)
    # On the prior's scale the median of b = 0 is 1.
    scale = (
        float(np.median(y[inside][:, torch.from_numpy(gradients.b0)].mean(1)))
        if bool(gradients.b0.any())
        else 1.0
    )
    if not scale > 0:
        raise InputError(
            "The scan has no signal at b = 0 inside the mask; check the mask and the gradient "
            "table."
        )
    parts = shells(gradients, least=least)
    if not parts:
        raise InputError(
            "The scan has no volume with diffusion weighting; there is nothing for the prior to do."
        )
    return [
        NoisyShell(shell, shell.encode(y / scale), level / scale * shell.level) for shell in parts
    ], scale


def posterior_means(
    denoiser: Denoiser, measured: list[NoisyShell], report: Report | None = None
) -> list[Tensor]:
    """The posterior mean of each shell, E[x_0 | x_t] by one call of the denoiser a tile.

    Args:
        denoiser: The prior.
        measured: The noisy shells.
        report: Called as ``report(done, total)``, counting tiles.

    Returns:
        x of each shell, (16, X, Y, Z).
    """
    with torch.no_grad():
        return [
            blended(_means(denoiser, scan, part), tuple(scan.level.shape))
            for scan, part in _parts(measured, report)
        ]


def denoise(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: GradientTable,
    sigma: float | NDArray[Any],
    mask: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    report: Report | None = None,
) -> Estimate:
    """The posterior mean of a scan under the prior, and its expected error.

    Measured coefficients with white noise are x_t of the diffusion, so the posterior mean is one
    call of the denoiser. The posterior covariance C (Tweedie's second formula) gives products with
    a vector only, and its diagonal by random signs z (Hutchinson 1989; Bekas et al. 2007): diag C =
    E[z * C z]. Signal beyond order 4 is left out with the noise. Every volume at b = 0 becomes the
    estimate of their mean.

    Args:
        denoiser: The prior, of shells x (16, X, Y, Z).
        data: (X, Y, Z, volumes), signals with Gaussian noise.
        gradients: The scan's table.
        sigma: Deviation of the noise, one number or (X, Y, Z).
        mask: (X, Y, Z), where the scale is taken; everywhere without one.
        seed: Of the random signs.
        report: Called as ``report(done, total)``, counting tiles.

    Returns:
        The signal and its expected error, in the data's units.
    """
    measured, scale = measure(data, gradients, sigma, mask)
    estimates, variance = [], []
    for scan, part in _parts(measured, report):
        both = blended(_means_and_variances(denoiser, scan, seed, part), data.shape[:3])
        estimates.append((scan.shell, both[:16]))
        # Variances from few random signs are noisy: average over 3 x 3 x 3 voxels.
        spread = pad(scan.shell.signal_variance(both[16:])[None, None], (1,) * 6, mode="replicate")
        variance.append(avg_pool3d(spread, 3, 1)[0, 0].clamp(min=0) * len(scan.shell.volumes))
    mean = torch.stack(variance).sum(0) / int((~gradients.b0).sum())
    return Estimate((scale * signals(estimates, gradients)).numpy(), (mean.sqrt() * scale).numpy())


def _parts(
    measured: list[NoisyShell], report: Report | None
) -> Iterator[tuple[NoisyShell, Report]]:
    """Each shell, with a callback for its tiles that reports on the tiles of all shells."""

    def of_all(k: int, count: int, total: int) -> None:
        if report is not None:
            report(k * total + count, len(measured) * total)

    for k, scan in enumerate(measured):
        yield scan, partial(of_all, k)


def _means(denoiser: Denoiser, scan: NoisyShell, report: Report) -> Iterator[tuple[Place, Tensor]]:
    """Each tile's place and posterior mean, (16, *size)."""
    tiles = places(tuple(scan.level.shape), SIDE, OVERLAP)
    for n, place in enumerate(tiles):
        x, t = scan.at(place, denoiser)
        yield place, denoiser(x, t, shell=scan.shell.condition).mean[0].float()
        report(n + 1, len(tiles))


def _means_and_variances(
    denoiser: Denoiser, scan: NoisyShell, seed: int, report: Report
) -> Iterator[tuple[Place, Tensor]]:
    """Each tile's place, with its posterior mean and variance, (32, *size)."""
    tiles = places(tuple(scan.level.shape), SIDE, OVERLAP)
    for n, place in enumerate(tiles):
        x, t = scan.at(place, denoiser)
        mean, covariance = denoiser.with_covariance(x, t, shell=scan.shell.condition)
        # diag C = E[z * C z], z random signs.
        source, variance = generator(seed, "probe", n), torch.zeros_like(x)
        for _ in range(PROBES):
            signs = torch.randint(0, 2, x.shape, generator=source).to(x) * 2 - 1
            variance += signs * covariance(signs) / PROBES
        yield place, torch.cat([mean[0], variance[0]]).float()
        report(n + 1, len(tiles))


def _checked(
    data: NDArray[Any],
    gradients: GradientTable,
    sigma: float | NDArray[Any],
    mask: NDArray[Any] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The data (X, Y, Z, volumes), the noise level and the voxels inside (X, Y, Z), as tensors."""
    if data.ndim != 4 or data.shape[3] != len(gradients):
        raise InputError(
            f"A scan is (X, Y, Z, volumes) with {len(gradients)} volumes, as its table has, not "
            f"{data.shape}."
        )
    if not np.isfinite(data).all():
        raise InputError("The scan holds values that are not finite; set them to 0.")
    space = data.shape[:3]
    level, inside = np.asarray(sigma, np.float32), voxels_inside(mask, space)
    if inside.shape != space or level.shape not in ((), space):
        raise InputError(
            f"The mask and the noise map are on the scan's grid {space}, not {inside.shape} and "
            f"{level.shape}."
        )
    if not inside.any() or not (np.isfinite(level).all() and (level > 0).all()):
        raise InputError(
            "The mask must hold a voxel, and the noise level must be above 0 everywhere."
        )
    return (
        torch.from_numpy(data.astype(np.float32)),
        torch.from_numpy(np.broadcast_to(level, space).copy()),
        torch.from_numpy(inside),
    )
