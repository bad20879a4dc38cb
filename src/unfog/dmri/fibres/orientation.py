r"""The posterior of a voxel's principal direction, FA and MD, by draws of its signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generators, normal_like
from unfog.core.tiles import Place, cores, places
from unfog.dmri.denoising.posterior_mean import OVERLAP, SIDE, NoisyShell, measure
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count, degrees
from unfog.dmri.masks import voxels_inside
from unfog.dmri.shells import ORDER
from unfog.dmri.tensor import Tensors, fit_tensors
from unfog.errors import InputError
from unfog.progress import Report
from unfog.sampling.lanczos import function_of

# Lanczos process: products with the covariance to find the polynomial (one fewer make a draw), and
# the probes to find it from
PRODUCTS, PROBES = (2, 4)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Orientation:
    """What posterior draws say of each voxel; zero outside the mask.

    ``direction`` (X, Y, Z, 3), the mean axis in the table's axes; ``cone95`` and ``cone50`` (X, Y,
    Z), half-angles in degrees that hold 95 % and 50 % of the draws; mean and standard deviation of
    FA and of MD (mm^2/s), (X, Y, Z); ``coefficients`` (X, Y, Z, 15, kept), the signals of the first
    draws in the scan's units; ``misfit`` (3,), of the harmonics of order 0, 2 and 4 (see
    ``orientation``), NaN where the draws vary more than the noise leaves room for.
    """

    direction: Array
    cone95: Array
    cone50: Array
    fa_mean: Array
    fa_std: Array
    md_mean: Array
    md_std: Array
    coefficients: Array
    misfit: Array

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.dmri.notebook import orientation_html

        return orientation_html(self)


def orientation(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: GradientTable,
    sigma: float | NDArray[Any],
    mask: NDArray[Any] | None = None,
    *,
    draws: int = 200,
    kept: int = 0,
    seed: int = 0,
    products: int = PRODUCTS,
    report: Report | None = None,
) -> Orientation:
    """Draw the posterior of raw signals of one shell, and summarise it voxel by voxel (cone of
    uncertainty: Jones 2003).

    Measured coefficients with white noise are x_t at their noise level, where one call of the
    denoiser gives the posterior mean and its Jacobian the covariance (Tweedie). A voxel and its
    neighbours together are known so well that the posterior is about Gaussian,

        x_0 = E[x_0 | x_t] + Cov(x_0 | x_t)^{1/2} noise,

    the root by the Lanczos process, one polynomial for all draws of a tile: exact for a Gaussian
    prior, and on the two simulated scans where both were tried better calibrated than going down in
    six steps. A tensor is fitted to the signals that each draw predicts.

    The data must be raw: noise that was denoised before is no longer white. And the scan must be
    one that the prior could have drawn, which shows in what the mean leaves: under the true prior

        E |x_t - E[x_0 | x_t]|^2 = s^2 - E Var(x_0 | x_t),

    so ``misfit``, the left over the right, is 1; it is larger where signal is taken for noise.

    Args:
        denoiser: The prior for raw signals.
        data: (X, Y, Z, volumes), b = 0 and one shell, with Gaussian noise.
        gradients: The table of these volumes.
        sigma: Deviation of the noise, one number or (X, Y, Z).
        mask: (X, Y, Z); everywhere without one.
        draws: Of few, quantiles are too small: with 200 a perfect 95 % cone covers 94 %, with 20
            only 89 %.
        kept: How many draws to return as coefficients.
        seed: Of the draws.
        products: With the covariance, that find the root's polynomial.
        report: Called as ``report(done, total)``, counting draws.

    Returns:
        The maps, the kept draws and the misfit.

    Raises:
        InputError: Fewer than 2 draws, or not one shell.
    """
    if draws < 2:
        raise InputError(f"A posterior needs at least 2 draws, got {draws}.")
    scan, scale = _one_shell(*measure(data, gradients, sigma, mask))
    inside = voxels_inside(mask, data.shape[:3])
    out, misfit = _empty(inside.shape, min(kept, draws)), _Misfit()
    total = len(places(inside.shape, SIDE, OVERLAP))
    for k, (tile, core, within) in enumerate(cores(inside.shape, SIDE, OVERLAP)):
        if inside[core].any():
            tensors = []
            for n, x in enumerate(_draws(denoiser, scan, tile, draws, seed + k, products)):
                # A draw's tensors, its coefficients if kept, and its part of the misfit.
                drawn = x[:, *within][:, torch.from_numpy(inside[core])]
                tensors.append(_tensors(scan, drawn, gradients))
                if n < kept:
                    out.coefficients[core][inside[core], :, n] = scale * drawn[1:].T.numpy()
                if report is not None:
                    report(k * draws + n + 1, total * draws)
                misfit.draw(drawn)
            misfit.end(scan, core, inside[core])
            stacked = Tensors(*(np.stack(part) for part in zip(*tensors, strict=True)))
            _sum_up(out, core, inside[core], stacked)
        elif report is not None:
            report((k + 1) * draws, total * draws)
    return replace(out, misfit=misfit.misfit())


def _one_shell(measured: list[NoisyShell], scale: float) -> tuple[NoisyShell, float]:
    """The only shell and its scale; `InputError` where there are more."""
    if len(measured) != 1:
        raise InputError(
            f"Directions are drawn from one shell, and the table has {len(measured)}; choose its "
            "volumes and b = 0."
        )
    return measured[0], scale


class _Misfit:
    """The misfit of draws, summed over tiles: for each harmonic what the mean of draws ``left`` of
    the data, and what is ``due`` by the noise and the draws' variance, both squared.
    """

    def __init__(self) -> None:
        self.left, self.due = np.zeros(count(ORDER)), np.zeros(count(ORDER))
        self._forget()

    def _forget(self) -> None:
        self.draws, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def draw(self, x: Tensor) -> None:
        """Add one draw (16, voxels) of the current tile."""
        self.draws, self.sum, self.squares = (
            self.draws + 1,
            self.sum + x.double(),
            self.squares + x.double() ** 2,
        )

    def end(self, scan: NoisyShell, core: Place, inside: NDArray[np.bool_]) -> None:
        """End a tile: add what its draws left and were due.

        Args:
            scan: The shell that was drawn from.
            core: The tile's own part of the grid.
            inside: (core's size), the voxels that were drawn.
        """
        mean, at = self.sum / self.draws, torch.from_numpy(inside)
        # E Var(x_0 | x_t) from the draws, so s^2 - Var is due.
        variance = (self.squares / self.draws - mean**2) * self.draws / (self.draws - 1)
        noise = scan.level[core][at].double() ** 2
        self.left += (scan.x[:, *core][:, at].double() - mean)[1:].square().sum(1).numpy()
        self.due += (noise - variance)[1:].sum(1).numpy()
        self._forget()

    def misfit(self) -> Array:
        """What was left over what was due, (3,), by order; NaN where nothing was due."""
        order_of = degrees(ORDER).numpy()
        orders = range(0, ORDER + 1, 2)
        left, due = (
            np.array([part[order_of == order].sum() for order in orders])
            for part in (self.left, self.due)
        )
        return np.where(due > 0, left / np.where(due > 0, due, 1), np.nan).astype(np.float32)


def _empty(space: tuple[int, ...], kept: int) -> Orientation:
    """Maps of zeros on a grid, for ``kept`` draws."""
    shapes = [(*space, 3), *[space] * 6, (*space, count(ORDER), kept), (3,)]
    return Orientation(*(np.zeros(shape, np.float32) for shape in shapes))


def _draws(
    denoiser: Denoiser, scan: NoisyShell, tile: Place, draws: int, seed: int, products: int
) -> Iterator[Tensor]:
    """Draws of x_0 (16, *size of the tile), one after the other: E[x_0 | x_t] + Cov(x_0 |
    x_t)^{1/2} noise.
    """
    x, t = scan.at(tile, denoiser)
    mean, covariance = denoiser.with_covariance(x, t, shell=scan.shell.condition)
    probes = [
        normal_like(x, source) for source in generators(seed, range(min(draws, PROBES)), "probe")
    ]
    # The square root of the covariance by the Lanczos process.
    root = function_of(covariance, probes, torch.sqrt, products)
    for source in generators(seed, range(draws), "draw"):
        yield (mean + root(normal_like(x, source)))[0]


def _tensors(scan: NoisyShell, x: Tensor, gradients: GradientTable) -> Tensors:
    """Tensors fitted to the signals of a draw x (16, voxels)."""
    s0, predicted = scan.shell.decode(x)
    volumes = np.append(scan.shell.b0[:1], scan.shell.volumes)
    return fit_tensors(torch.cat([s0[:, None], predicted], 1).double().numpy(), gradients[volumes])


def _sum_up(out: Orientation, core: Place, inside: NDArray[np.bool_], drawn: Tensors) -> None:
    """Write what ``drawn`` (draws, voxels) tensors say into the voxels ``inside`` the ``core`` of a
    tile.
    """
    axis, quantile = cone(drawn.direction)
    values = {"direction": axis, "cone95": quantile(0.95), "cone50": quantile(0.5)}
    values |= {
        "fa_mean": drawn.fa.mean(0),
        "fa_std": drawn.fa.std(0),
        "md_mean": drawn.md.mean(0),
        "md_std": drawn.md.std(0),
    }
    for name, value in values.items():
        getattr(out, name)[core][inside] = value


def cone(
    directions: NDArray[np.floating],
) -> tuple[NDArray[np.float64], Callable[[float], NDArray[np.float64]]]:
    """The cone of uncertainty of axes (Jones 2003): the mean axis (voxels, 3) of ``directions``
    (draws, voxels, 3), whose sign means nothing, and a function from a level to the cone's
    half-angle (voxels,) in degrees.

    The mean axis is the first eigenvector of the mean dyadic, and the half-angle the quantile at
    the level of the angle between draws and the mean axis.
    """
    dyadic = np.einsum("dvi,dvj->vij", directions, directions) / len(directions)
    axis = np.linalg.eigh(dyadic)[1][:, :, 2]
    angles = np.degrees(np.arccos(np.clip(np.abs(np.einsum("dvi,vi->dv", directions, axis)), 0, 1)))
    return axis, lambda level: np.quantile(angles, level, axis=0)
