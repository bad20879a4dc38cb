"""Directions held out of a scan: what a prediction misses of them, and what ridge regression does.

A prior's own deviation holds for anatomy and noise as it knows them. Whether a scan is so, only its
own measurements can tell: some are left out, predicted from the rest, and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import Array, Denoised
from unfog.dmri.denoising.ridge import ridge
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.shells import usable_shells

# (scan by low rank, its table, the table to predict, mask) -> signals and their deviations
Predict = Callable[[Denoised, GradientTable, GradientTable, NDArray[np.bool_]], tuple[Array, Array]]
FEWEST, SHARE, MOST = 9, 6, 8  # directions of a shell to hold out of; one in 6; at most 8
BOX = (24, 24, 10)  # voxels that are predicted
WORSE = 1.02  # times ridge regression's error, from which a prior is not to be used


@dataclass(frozen=True)
class HeldOut:
    """Root mean square errors at directions held out, in the scan's units.

    Args:
        prior: Of the prior's prediction, to the values measured.
        ridge: Of ridge regression.
        noise: Of the values measured themselves.
        said: The deviation that the prediction says its error has.
    """

    prior: float
    ridge: float
    noise: float
    said: float

    @property
    def misfit(self) -> float:
        """What the prediction misses over what it says, noise taken off."""
        return float(np.sqrt(max(self.prior**2 - self.noise**2, 0.0)) / max(self.said, 1e-30))

    @property
    def prior_is_worse(self) -> bool:
        """Whether ridge regression predicts clearly better."""
        return self.prior > WORSE * self.ridge

    @property
    def missed_by_ridge(self) -> float:
        """The deviation of ridge regression's error, noise taken off, over the noise."""
        return float(np.sqrt(max(self.ridge**2 / max(self.noise**2, 1e-30) - 1, 0.0)))


def held_out(
    predict: Predict, first: Denoised, table: GradientTable, inside: NDArray[np.bool_], least: int
) -> HeldOut | None:
    """Hold out one direction in six of every shell, and predict it from the rest of the scan.

    Args:
        predict: The prediction to test.
        first: The scan denoised by low rank.
        table: Its table.
        inside: (X, Y, Z), the mask.
        least: Directions that a shell must have to be used.

    Returns:
        The errors; None where no shell has directions to spare.
    """
    shells = [one for one in usable_shells(table, least) if len(one.volumes) >= FEWEST]
    if not shells:
        return None
    left = [_spread(table, shell.volumes) for shell in shells]
    held = np.sort(np.concatenate(left))
    rest = np.setdiff1d(np.arange(len(table)), held)
    box = _middle(inside)
    part, mask = _part(first, box, rest), inside[box]
    signal, std = predict(part, table[rest], table[held], mask)
    truth = first.measured[box][mask][:, held]
    # Ridge regression, shell by shell, from the same data.
    plain = np.zeros_like(truth)
    for shell, out in zip(shells, left, strict=True):
        kept = np.setdiff1d(shell.volumes, out)
        data = first.measured[box][mask][:, kept]
        plain[:, np.searchsorted(held, out)] = ridge(
            data, table.directions[kept], table.directions[out]
        )
    return HeldOut(
        prior=_rms(signal[mask] - truth),
        ridge=_rms(plain - truth),
        noise=_rms(first.noise.level.numpy()[box][mask]),
        said=_rms(std[mask]),
    )


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _spread(table: GradientTable, volumes: NDArray[np.int64]) -> NDArray[np.int64]:
    """One in six of a shell's volumes, well spread, sorted."""
    count = int(np.clip(len(volumes) // SHARE, 1, MOST))
    return np.sort(volumes[well_spread(table.directions[volumes], count)])


def _middle(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """A box about the middle of the mask."""
    places = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    starts = [
        int(np.clip((p[0] + p[-1] + 1 - side) // 2, 0, max(size - side, 0)))
        for p, side, size in zip(places, BOX, inside.shape, strict=True)
    ]
    return tuple(slice(start, start + side) for start, side in zip(starts, BOX, strict=True))


def _part(first: Denoised, box: tuple[slice, ...], volumes: NDArray[np.int64]) -> Denoised:
    """Some voxels and volumes of a scan by low rank."""
    components = first.noise.components
    fewer = components._replace(mean=components.mean[volumes], axes=components.axes[volumes])
    return replace(
        first,
        signal=first.signal[box][..., volumes],
        measured=first.measured[box][..., volumes],
        sigma=first.sigma[box],
        expected_error=first.expected_error[box],
        noise=first.noise._replace(level=first.noise.level[box], components=fewer),
    )
