r"""Fibre orientations with their uncertainty, of a scan of unknown noise: cones, FA, MD, and draws
of the orientation density.

The draws (``unfog.dmri.fibres.orientation``) start from the raw signals of one shell, whose noise
is white; low rank gives no more than the noise level and the signal nu for which the bias of
magnitudes is taken away, y - (E[y] - nu). The signal of fibres of density f and response K is

    c_lm = k_l f_lm,     k_l = (4 pi / (2 l + 1)) <sum_m c_lm Y_lm(n)>,

the mean over the voxels of highest FA, each along its own direction n (Funk-Hecke; Tournier et al.
2004), so each draw is divided by k_l. Order 4 without a positivity constraint: lobes are blunt, and
may fall a little below 0.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from unfog.dmri.masks import voxels_inside
from unfog.dmri.shells import ORDER, basis
from unfog.errors import InputError
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.uncertainty import interval_scale

B_RANGE = 700.0, 3000.0  # s/mm^2 where a shell shows directions
SINGLE = 300  # voxels of highest FA whose response is that of one fibre
FLAT = 0.003  # an order whose response is a smaller share of the mean signal says nothing of fibres


@dataclass(frozen=True)
class Fod:
    """``maps`` of cones, FA and MD; ``samples`` (X, Y, Z, 15, kept), densities of integral 1 in a
    voxel of one fibre, in the basis tournier07 (MRtrix's); ``response`` (3,), k_0, k_2 and k_4 in
    the scan's units.
    """

    maps: Orientation
    samples: Array
    response: NDArray[np.float64]


def fod(
    denoiser: Denoiser,
    data: NDArray[Any],
    gradients: Any,
    mask: NDArray[Any] | None = None,
    *,
    coils: int = 1,
    draws: int = 200,
    kept: int = 20,
    scales: Mapping[str, float] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Fod:
    """The posterior from raw magnitudes ``data`` (X, Y, Z, volumes) of ``coils``; ``gradients`` of
    unfog or of DIPY.

    ``scales`` widen the cones and the deviations of FA and MD: factors named cone, fa and md.
    """
    table = as_table(gradients)
    volumes = chosen_shell(table)
    first = classical.denoise(data, table, mask, coils=coils)
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
    """The volumes at b = 0 and of the shell with most directions in b = 700 to 3000 s/mm^2."""
    low, high = B_RANGE
    found = [volumes for b, volumes in table.shells().items() if low <= b <= high]
    if not found or max(map(len, found)) < count(ORDER):
        raise InputError(
            f"Directions need a shell of {count(ORDER)} directions or more between b = 700 and "
            "3000, and the scan has none."
        )
    return np.append(np.flatnonzero(table.b0), max(found, key=len))


def drawn(
    denoiser: Denoiser,
    first: Denoised,
    table: GradientTable,
    volumes: NDArray[np.int64],
    mask: NDArray[Any] | None = None,
    *,
    draws: int = 200,
    kept: int = 20,
    scales: Mapping[str, float] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Fod:
    """The posterior from what was measured in ``volumes``, with the noise that low rank found."""
    if kept < 1:
        raise InputError(
            "The response of one fibre is read from the draws that are kept, so keep 1 or more, "
            f"not {kept}."
        )
    inside = voxels_inside(mask, first.sigma.shape)
    y = first.measured[..., volumes]
    level = np.maximum(first.noise.level.numpy(), 1e-6 * float(np.abs(y).max()))
    found = orientation(
        denoiser, y, table[volumes], level, inside, draws=draws, kept=kept, seed=seed, report=report
    )
    response = _response(found, inside)
    return Fod(_widened(found, scales or {}), deconvolved(found.coefficients, response), response)


def _widened(found: Orientation, scales: Mapping[str, float]) -> Orientation:
    cone, fa, md = (scales.get(name, 1.0) for name in ("cone", "fa", "md"))
    cones = {name: np.minimum(cone * getattr(found, name), 90) for name in ("cone95", "cone50")}
    return replace(found, **cones, fa_std=fa * found.fa_std, md_std=md * found.md_std)


def _response(found: Orientation, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """k_l of one fibre, (3,)."""
    fa = found.fa_mean[inside]
    best = np.argsort(fa)[-SINGLE:]
    at = basis(found.direction[inside][best].astype(np.float64)).numpy()
    product = found.coefficients[inside][best].mean(-1) * at
    own = degrees(ORDER).numpy()
    return np.array(
        [
            4 * np.pi / (2 * degree + 1) * product[:, own == degree].sum(1).mean()
            for degree in range(0, ORDER + 1, 2)
        ]
    )


def deconvolved(coefficients: NDArray[np.floating], response: NDArray[np.float64]) -> Array:
    """f_lm of signals with ``coefficients`` (..., 15, n); an order that the ``response`` (3,)
    hardly has is left at 0.
    """
    shown = np.abs(response) > FLAT * abs(response[0])
    gain = np.where(shown, 1 / np.where(shown, response, 1), 0)
    return np.asarray(coefficients * gain[degrees(ORDER).numpy() // 2][:, None], dtype=np.float32)


def fod_scales(run: Run) -> dict[str, float]:
    """The factors on cones and on the deviations of FA and MD (``benchmarks/dmri_intervals.py``
    learns them), or 1.
    """
    return {name: interval_scale(run, f"fod-{name}") for name in ("cone", "fa", "md")}
