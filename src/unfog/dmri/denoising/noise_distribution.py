r"""The distribution of a scan's noise, read from the data: Rician, non-central chi, or neither.

Magnitudes of complex noise of deviation sigma never have a mean below its floor, 1.2533 sigma for
one coil. Where voxels lie clearly below it the values were not made so: they are real parts, or
magnitudes of those, and a correction for Rician bias would harm them. In air the mean over the
deviation tells how many coils were combined: 1.91 for one, 2.75 for two, 3.94 for four
(Constantinides et al. 1997); and 1.32 that the values are magnitudes of real parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = math.sqrt(math.pi / 2)  # E|n| / sigma of one coil's magnitude without signal
ERRORS = 3.0  # standard errors below the floor that a voxel's mean must lie
BELOW, NEGATIVE = 0.01, 0.005  # shares of voxels, and of values, that magnitudes do not have
HALF = 0.5  # of its volumes in which a voxel may be 0 and still count as measured
FEWEST, FEW_VOLUMES = 200, 6  # voxels of air, and volumes, that tell it
HALF_GAUSSIAN = 1.1, 1.6  # mean over deviation in air of real parts' magnitudes, about 1.32
MOST_COILS = 64
WHITE = 0.3  # correlation of neighbours beyond which air has been averaged


@dataclass(frozen=True)
class NoiseDistribution:
    """What the values say of their noise.

    Args:
        magnitudes: Whether they can be magnitudes of complex noise.
        coils: How many were combined, as air tells; None where there is no air to tell.
        below: The share of voxels inside whose mean lies clearly below the floor.
        negative: The share of negative values.
    """

    magnitudes: bool = True
    coils: int | None = None
    below: float = 0.0
    negative: float = 0.0

    def sentence(self, coils: int | None, unbias: bool) -> str | None:
        """What a reader should know of it, given the number of ``coils`` that the user gave
        and whether to ``unbias``; None where there is nothing to say.
        """
        if not self.magnitudes:
            cause = "air has too small a mean for its deviation"
            if self.below > BELOW:
                cause = f"{100 * self.below:.1f} % of the voxels lie below the floor of its mean"
            if self.negative > NEGATIVE:
                cause = f"{100 * self.negative:.1f} % of the values are negative"
            kept = ", so no bias was taken away" if unbias else ""
            return f"The noise is not that of magnitudes, Rician or chi: {cause}{kept}."
        if coils is not None and self.coils is not None and self.coils != coils:
            return (
                f"The air looks like {self.coils} combined coil(s), and {coils} was given; check "
                "--coils, by which the bias of noise is taken away."
            )
        if coils is None and self.coils is not None and self.coils > 1:
            return f"The noise is that of {self.coils} combined coils, as the air shows (--coils)."
        return None


def read_distribution(
    data: NDArray[Any],
    weighted: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    level: NDArray[Any],
    sigma: NDArray[Any],
    correlation: float = 0.0,
) -> NoiseDistribution:
    """The distribution of the noise of a scan.

    Args:
        data: (X, Y, Z, volumes), as acquired.
        weighted: (volumes,), True for volumes with diffusion weighting; all where there is none.
        inside: (X, Y, Z), the head.
        level: (X, Y, Z), the standard deviation of the values.
        sigma: (X, Y, Z), that of real and imaginary parts, were the noise Rician.
        correlation: The largest correlation between neighbours.

    Returns:
        The distribution.
    """
    chosen = data[..., weighted if weighted.any() else ~weighted]
    measured = (chosen == 0).mean(-1) < HALF
    head, air = chosen[inside & measured], chosen[measured & ~inside]
    # Voxels whose mean lies clearly below the floor, and negative values.
    error = ERRORS * level / math.sqrt(chosen.shape[-1])
    highest = (FLOOR * sigma - error)[inside & measured]
    below = float((head.mean(-1) < highest).mean()) if len(head) else 0.0
    negative = float((chosen[measured] < 0).mean()) if measured.any() else 0.0
    # Air, unless neighbours share its noise.
    ratio = _ratio(air) if correlation < WHITE else None
    half = ratio is not None and HALF_GAUSSIAN[0] < ratio < HALF_GAUSSIAN[1]
    if below > BELOW or negative > NEGATIVE or half:
        return NoiseDistribution(False, None, below, negative)
    return NoiseDistribution(True, None if ratio is None else _coils(ratio), below, negative)


def _ratio(air: NDArray[Any]) -> float | None:
    """The mean over the deviation of the darker half of ``air`` (voxels, volumes), as ghosts and
    skin are brighter; None where there is too little of it.
    """
    if len(air) < FEWEST or air.shape[1] < FEW_VOLUMES:
        return None
    mean = air.mean(1)
    darkest = mean <= np.median(mean)
    deviation = float(np.median(air[darkest].std(1, ddof=1)))
    return float(np.median(mean[darkest])) / deviation if deviation > 0 else None


def _coils(ratio: float) -> int | None:
    """The number of coils whose noise has this ratio of mean to deviation; None where none has."""
    ratios = [mean_over_deviation(n) for n in range(1, MOST_COILS + 1)]
    if not HALF_GAUSSIAN[1] < ratio < ratios[-1]:
        return None
    return int(np.argmin([abs(ratio - one) for one in ratios])) + 1


def mean_over_deviation(coils: int) -> float:
    """E y / sqrt(var y) of the root of the sum of squares of 2 ``coils`` normal numbers.

    >>> round(mean_over_deviation(1), 3)
    1.913
    """
    mean = math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils))
    return mean / math.sqrt(2 * coils - mean**2)
