r"""Fibre orientations with their uncertainty, from a scan of unknown noise: cones, FA, MD, and
posterior draws of the fibre orientation density.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.core.denoiser import Denoiser
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.fibres.orientation import Array, Orientation, orientation
from unfog.dmri.gradients import GradientTable, as_table
from unfog.dmri.harmonics import count, degrees
from unfog.dmri.masks import measured_inside, voxels_inside
from unfog.dmri.shells import ORDER, basis
from unfog.errors import InputError
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.uncertainty import interval_scale, interval_scales

B_RANGE = 700.0, 3000.0  # s/mm^2 where a shell shows directions
SINGLE = 300  # voxels of highest FA, taken to hold one fibre
# A factor, or factors by the FA that is found, as pairs (FA, factor) with FA ascending.
Scale = float | Sequence[tuple[float, float]]
FLUID = 2e-3  # mm^2/s: voxels of a larger MD are mostly fluid
FLAT = 0.003  # the least response of an order, over that of order 0, to divide by


@dataclass(frozen=True)
class Fod:
    """Fibre orientations of a scan.

    ``maps`` are cones, FA and MD. ``samples`` (X, Y, Z, 15, kept) are draws of the orientation
    density as harmonics, of integral 1 in a voxel of one fibre, in the basis tournier07 (MRtrix's).
    ``response`` (3,) is k_0, k_2 and k_4 in the scan's units.
    """

    maps: Orientation
    samples: Array
    response: NDArray[np.float64]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.dmri.notebook import fod_html

        return fod_html(self)


def fod(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int | None = None,
    unbias: bool = True,
    draws: int = 200,
    kept: int = 20,
    scales: Mapping[str, Scale] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Fod:
    """The posterior of fibre orientations, from raw magnitudes.

    The draws (``unfog.dmri.fibres.orientation``) start from the raw signals of one shell, whose
    noise is white. Low rank gives only the noise level, and the signal nu for which the bias of
    magnitudes is taken away, y - (E[y] - nu). The signal of fibres of density f and response K is

        c_lm = k_l f_lm,     k_l = (4 pi / (2 l + 1)) <sum_m c_lm Y_lm(n)>,

    the mean over the voxels of highest FA, each along its own direction n (Funk-Hecke; Tournier et
    al. 2004), so each draw is divided by k_l. There are only harmonics up to order 4 and no
    positivity constraint: lobes are blunt, and may fall a little below 0.

    Args:
        denoiser: The prior for raw signals.
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table, of unfog or of DIPY.
        mask: (X, Y, Z); everywhere without one.
        coils: How many were combined by sum of squares; read from the air by default.
        unbias: Whether to take away what noise adds to magnitudes.
        draws: Posterior draws that cones and deviations are taken from.
        kept: How many of them are returned as densities.
        scales: Factors named cone, fa and md that widen the cones and the deviations, each one
            number or by the FA that is found; 1 unless given.
        seed: Of the draws.
        report: Called as ``report(done, total)``, counting draws.

    Returns:
        The maps and the densities.

    Raises:
        InputError: No shell has enough directions in the range of b, or too few draws are wanted.
    """
    table = as_table(gradients)
    volumes = chosen_shell(table)
    mask = measured_inside(mask, data)
    first = classical.denoise(data, table, mask, coils=coils, unbias=unbias)
    return drawn(
        denoiser,
        first,
        table,
        volumes,
        mask,
        draws=draws,
        kept=kept,
        scales=scales,
        seed=seed,
        report=report,
    )


def chosen_shell(table: GradientTable) -> NDArray[np.int64]:
    """The volumes (n,) that orientations are read from: b = 0, and the shell with most directions
    in b = 700 to 3000 s/mm^2; `InputError` where none has 15.
    """
    low, high = B_RANGE
    candidates = [volumes for b, volumes in table.shells().items() if low <= b <= high]
    if not candidates or max(map(len, candidates)) < count(ORDER):
        raise InputError(
            f"Directions need a shell of {count(ORDER)} directions or more between b = 700 and "
            "3000, and the scan has none."
        )
    return np.append(np.flatnonzero(table.b0), max(candidates, key=len))


def drawn(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    volumes: NDArray[np.int64],
    mask: NDArray[Any] | None = None,
    *,
    draws: int = 200,
    kept: int = 20,
    scales: Mapping[str, Scale] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Fod:
    """The posterior of fibre orientations, from a scan whose noise low rank has estimated.

    Args:
        denoiser: The prior for raw signals.
        first: The scan denoised by low rank, with the data it was given.
        table: The scan's table.
        volumes: (n,), those to draw from, b = 0 and one shell (``chosen_shell``).
        mask: (X, Y, Z); everywhere without one.
        draws: Posterior draws that cones and deviations are taken from.
        kept: How many of them are returned as densities, at least 1.
        scales: Factors named cone, fa and md; 1 unless given.
        seed: Of the draws.
        report: Called as ``report(done, total)``, counting draws.

    Returns:
        The maps and the densities.

    Raises:
        InputError: Fewer than 1 draw kept, or fewer than 2 drawn.
    """
    if kept < 1:
        raise InputError(
            "The response of one fibre is read from the draws that are kept, so keep 1 or more, "
            f"not {kept}."
        )
    inside = voxels_inside(mask, first.sigma.shape)
    y = first.measured[..., volumes]
    level = np.maximum(first.noise.level.numpy(), 1e-6 * float(np.abs(y).max()))
    posterior = orientation(
        denoiser, y, table[volumes], level, inside, draws=draws, kept=kept, seed=seed, report=report
    )
    response = _response(posterior, inside)
    return Fod(
        _widened(posterior, scales or {}), deconvolved(posterior.coefficients, response), response
    )


def _widened(maps: Orientation, scales: Mapping[str, Scale]) -> Orientation:
    """The maps with cones and deviations scaled, cones to 90 degrees at most."""
    cone, fa, md = (scale_at(scales.get(name, 1.0), maps.fa_mean) for name in ("cone", "fa", "md"))
    cones = {
        name: np.minimum(cone * getattr(maps, name), 90).astype(np.float32)
        for name in ("cone95", "cone50")
    }
    deviations = {"fa_std": fa * maps.fa_std, "md_std": md * maps.md_std}
    return replace(
        maps, **cones, **{name: one.astype(np.float32) for name, one in deviations.items()}
    )


def scale_at(scale: Scale, fa: NDArray[Any]) -> NDArray[np.float64]:
    """The factor at each value of the FA (...) that is found, by a straight line between pairs."""
    if isinstance(scale, int | float):
        return np.full(fa.shape, float(scale))
    at, factors = zip(*scale, strict=True)
    return np.asarray(np.interp(fa, at, factors))


def trusted(maps: Orientation) -> NDArray[np.float32]:
    """Where cones and intervals are to be believed, 1 or 0 (X, Y, Z): not in fluid, whose FA near 0
    the prior takes for more.
    """
    return ((maps.md_mean > 0) & (maps.md_mean < FLUID)).astype(np.float32)


def _response(posterior: Orientation, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """k_l of one fibre, (3,): the mean over the voxels of highest FA, taken to hold one each."""
    fa = posterior.fa_mean[inside]
    best = np.argsort(fa)[-SINGLE:]
    at = basis(posterior.direction[inside][best].astype(np.float64)).numpy()
    # The mean draw's c_lm times Y_lm(n).
    product = posterior.coefficients[inside][best].mean(-1) * at
    order_of = degrees(ORDER).numpy()
    return np.array(
        [
            4 * np.pi / (2 * degree + 1) * product[:, order_of == degree].sum(1).mean()
            for degree in range(0, ORDER + 1, 2)
        ]
    )


def deconvolved(coefficients: NDArray[np.floating], response: NDArray[np.float64]) -> Array:
    """Draws of the density, f_lm = c_lm / k_l, from the signal's ``coefficients`` (..., 15, n) and
    the ``response`` (3,); an order that the response hardly has is left at 0.
    """
    shown = np.abs(response) > FLAT * abs(response[0])
    gain = np.where(shown, 1 / np.where(shown, response, 1), 0)
    return np.asarray(coefficients * gain[degrees(ORDER).numpy() // 2][:, None], dtype=np.float32)


def fod_scales(run: Run) -> dict[str, Scale]:
    """The factors that a run learned for cones and for the deviations of FA and MD, by the FA that
    is found if it learned that, or 1 (``benchmarks/dmri_intervals.py`` learns them).
    """
    tasks = {name: f"fod-{name}" for name in ("cone", "fa", "md")}
    return {
        name: interval_scales(run, task) or interval_scale(run, task)
        for name, task in tasks.items()
    }
