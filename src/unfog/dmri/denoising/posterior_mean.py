r"""Denoising by the prior: the posterior mean of every shell given its noisy coefficients, and the
error to be expected of it.

Measured coefficients with white noise of deviation s are x_t of the diffusion at noise level s, so
the posterior mean is one call of the denoiser, and the posterior covariance (Tweedie's second
formula) products with its Jacobian, whose diagonal comes by random signs (Hutchinson 1989; Bekas et
al. 2007): diag C = E[z * C z]. What of the signal lies beyond order 4 is left out with the noise.

Noise is taken as Gaussian with a known level, which may vary in space: correct magnitudes first
(``unfog.dmri.rician``).
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
    """``signal`` (X, Y, Z, volumes); ``expected_error`` (X, Y, Z), its root mean square over the
    volumes with diffusion weighting.
    """

    signal: Array
    expected_error: Array


@dataclass(frozen=True)
class NoisyShell:
    """A shell on the prior's scale, b = 0 in the mask near 1: ``x`` (16, X, Y, Z) with noise of
    deviation ``level`` (X, Y, Z).
    """

    shell: Shell
    x: Tensor
    level: Tensor

    def at(self, place: Place, denoiser: Denoiser) -> tuple[Tensor, Tensor]:
        """A tile as x_t (1, 16, *size) and its time; one level a tile, the root mean square."""
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
    """The shells of a scan (X, Y, Z, volumes) with noise ``sigma``, one number or (X, Y, Z), and
    the scale its signals were divided by.

    A shell has ``least`` directions or more, as many as coefficients unless said.
    """
    y, level, inside = _checked(data, gradients, sigma, mask)
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
    found = shells(gradients, least=least)
    if not found:
        raise InputError(
            "The scan has no volume with diffusion weighting; there is nothing for the prior to do."
        )
    return [
        NoisyShell(shell, shell.encode(y / scale), level / scale * shell.level) for shell in found
    ], scale


def posterior_means(
    denoiser: Denoiser, measured: list[NoisyShell], report: Report | None = None
) -> list[Tensor]:
    """The posterior mean of each shell's x, (16, X, Y, Z)."""
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
    """The posterior mean of ``data`` (X, Y, Z, volumes) with Gaussian noise ``sigma``, a number or
    (X, Y, Z), and its expected error.

    Every volume at b = 0 becomes the estimate of their mean; ``seed`` draws the probes, and
    ``report(done, total)`` counts tiles.
    """
    measured, scale = measure(data, gradients, sigma, mask)
    found, variance = [], []
    for scan, part in _parts(measured, report):
        both = blended(_means_and_variances(denoiser, scan, seed, part), data.shape[:3])
        found.append((scan.shell, both[:16]))
        spread = pad(scan.shell.signal_variance(both[16:])[None, None], (1,) * 6, mode="replicate")
        variance.append(avg_pool3d(spread, 3, 1)[0, 0].clamp(min=0) * len(scan.shell.volumes))
    mean = torch.stack(variance).sum(0) / int((~gradients.b0).sum())
    return Estimate((scale * signals(found, gradients)).numpy(), (mean.sqrt() * scale).numpy())


def _parts(
    measured: list[NoisyShell], report: Report | None
) -> Iterator[tuple[NoisyShell, Report]]:
    """Each shell, with what to tell about its tiles."""

    def of_all(k: int, done: int, total: int) -> None:
        if report is not None:
            report(k * total + done, len(measured) * total)

    for k, scan in enumerate(measured):
        yield scan, partial(of_all, k)


def _means(denoiser: Denoiser, scan: NoisyShell, report: Report) -> Iterator[tuple[Place, Tensor]]:
    """Each tile's posterior mean, (16, *size)."""
    tiles = places(tuple(scan.level.shape), SIDE, OVERLAP)
    for n, place in enumerate(tiles):
        x, t = scan.at(place, denoiser)
        yield place, denoiser(x, t, shell=scan.shell.condition).mean[0].float()
        report(n + 1, len(tiles))


def _means_and_variances(
    denoiser: Denoiser, scan: NoisyShell, seed: int, report: Report
) -> Iterator[tuple[Place, Tensor]]:
    """Each tile's posterior mean and variance, (32, *size)."""
    tiles = places(tuple(scan.level.shape), SIDE, OVERLAP)
    for n, place in enumerate(tiles):
        x, t = scan.at(place, denoiser)
        mean, covariance = denoiser.with_covariance(x, t, shell=scan.shell.condition)
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
    """The data, the noise of each voxel and the voxels inside, as tensors."""
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
