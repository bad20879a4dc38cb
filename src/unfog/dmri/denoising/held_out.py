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
VOXELS = 3000  # that are predicted


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
        """Whether ridge regression predicts better."""
        return self.prior > self.ridge

    @property
    def missed_by_ridge(self) -> float:
        """The deviation of ridge regression's error, noise taken off, over the noise."""
        return float(np.sqrt(max(self.ridge**2 / max(self.noise**2, 1e-30) - 1, 0.0)))


def held_out(
    predict: Predict, first: Denoised, table: GradientTable, inside: NDArray[np.bool_], least: int
) -> HeldOut | None:
    """Hold out one direction in six of every shell, predict it from the rest of the scan, and so
    six times with others (cross-validation).

    Which directions are left out matters more than the voxels do: where all fibres are parallel,
    those along them are by far the hardest.

    Args:
        predict: The prediction to test.
        first: The scan denoised by low rank.
        table: Its table.
        inside: (X, Y, Z), the mask.
        least: Directions that a shell must have to be used.

    Returns:
        The errors; None where no shell has directions to spare.
    """
    volumes = [one.volumes for one in usable_shells(table, least) if len(one.volumes) >= FEWEST]
    if not volumes:
        return None
    box = _middle(inside)
    mask, noise = inside[box], _rms(first.noise.level.numpy()[box][inside[box]])
    errors = []
    for left in zip(*(_folds(table, one) for one in volumes), strict=True):
        held = np.sort(np.concatenate(left))
        rest = np.setdiff1d(np.arange(len(table)), held)
        signal, std = predict(_part(first, box, rest), table[rest], table[held], mask)
        # Ridge regression, shell by shell, from the same data.
        measured = first.measured[box][mask]
        plain = np.zeros((len(measured), len(held)), np.float32)
        for one, out in zip(volumes, left, strict=True):
            kept = np.setdiff1d(one, out)
            at = table.directions[out]
            plain[:, np.searchsorted(held, out)] = ridge(
                measured[:, kept], table.directions[kept], at
            )
        truth = measured[:, held]
        errors.append((_rms(signal[mask] - truth), _rms(plain - truth), _rms(std[mask])))
    prior, by_ridge, said = np.sqrt(np.mean(np.square(errors), 0)).tolist()
    return HeldOut(prior, by_ridge, noise, said)


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _folds(table: GradientTable, volumes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Six sets of a shell's volumes that share none, each one in six and well spread, sorted."""
    count, folds = int(np.clip(len(volumes) // SHARE, 1, MOST)), []
    for _ in range(SHARE):
        folds.append(np.sort(volumes[well_spread(table.directions[volumes], count)]))
        volumes = np.setdiff1d(volumes, folds[-1])
    return folds


def _middle(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """A box about the middle of the mask: as near to a cube as the mask allows."""
    places = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    extents, sides, left = [int(p[-1] + 1 - p[0]) for p in places], [0, 0, 0], float(VOXELS)
    # The shortest axis first: what it does not use, the others may.
    for rank, axis in enumerate(np.argsort(extents)):
        sides[axis] = min(extents[axis], round(left ** (1 / (3 - rank))))
        left /= sides[axis]
    starts = [int(p[0] + p[-1] + 1 - side) // 2 for p, side in zip(places, sides, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))


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
