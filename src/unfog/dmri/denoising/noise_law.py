r"""The law of a scan's noise, read from the data: Rician or chi, as magnitudes have it, or neither.

Magnitudes of complex noise of deviation sigma never have a mean below its floor, 1.2533 sigma for
one coil. Where voxels lie clearly below it the values were not made so: they are real parts, or
magnitudes of those, and a correction for Rician bias would harm them. In air the mean over the
deviation tells how many coils were combined: 1.91 for one, 2.75 for two, 3.94 for four
(Constantinides et al. 1997).
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
FEWEST = 200  # voxels of air that tell the number of coils
MOST_COILS = 64
WHITE = 0.3  # correlation of neighbours beyond which air has been averaged


@dataclass(frozen=True)
class NoiseLaw:
    """What the values say of their noise.

    Args:
        magnitudes: Whether they can be magnitudes of complex noise.
        coils: How many were combined, as air tells; None where there is no air to tell.
        below: The share of voxels whose mean lies clearly below the floor.
        negative: The share of negative values.
    """

    magnitudes: bool = True
    coils: int | None = None
    below: float = 0.0
    negative: float = 0.0

    def sentence(self, coils: int | None, unbias: bool) -> str | None:
        """What a reader should know of the law, given the number of ``coils`` that the user gave
        and whether to ``unbias``; None where there is nothing to say.
        """
        if not self.magnitudes:
            cause = (
                f"{100 * self.negative:.1f} % of the values are negative"
                if self.negative > NEGATIVE
                else f"{100 * self.below:.1f} % of the voxels lie below the floor of its mean"
            )
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


def read_law(
    data: NDArray[Any],
    weighted: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    level: NDArray[Any],
    sigma: NDArray[Any],
    correlation: float = 0.0,
) -> NoiseLaw:
    """The law of the noise of a scan.

    Args:
        data: (X, Y, Z, volumes), as acquired.
        weighted: (volumes,), True for volumes with diffusion weighting; all where there is none.
        inside: (X, Y, Z), the head.
        level: (X, Y, Z), the standard deviation of the values.
        sigma: (X, Y, Z), that of real and imaginary parts, were the noise Rician.
        correlation: The largest correlation between neighbours.

    Returns:
        The law.
    """
    chosen = data[..., weighted if weighted.any() else ~weighted]
    mean, filled = chosen.mean(-1), (data != 0).all(-1)
    error = ERRORS * level / math.sqrt(chosen.shape[-1])
    below = (mean < FLOOR * sigma - error) & filled & (sigma > 0)
    share = float(below.sum() / max(1, filled.sum()))
    negative = float((chosen[filled] < 0).mean()) if filled.any() else 0.0
    magnitudes = share <= BELOW and negative <= NEGATIVE
    air = filled & ~inside
    coils = _coils(chosen[air]) if magnitudes and correlation < WHITE else None
    return NoiseLaw(magnitudes, coils, share, negative)


def _coils(air: NDArray[Any]) -> int | None:
    """The number of coils whose law has the ratio of ``air`` (voxels, volumes)."""
    if len(air) < FEWEST or air.shape[1] < 6:
        return None
    mean = air.mean(1)
    darkest = mean <= np.median(mean)  # ghosts and skin are brighter than air
    deviation = float(np.median(air[darkest].std(1, ddof=1)))
    if not deviation > 0:
        return None
    ratio = float(np.median(mean[darkest])) / deviation
    ratios = [mean_over_deviation(n) for n in range(1, MOST_COILS + 1)]
    nearest = int(np.argmin([abs(ratio - r) for r in ratios])) + 1
    # A ratio that no number of coils has is not that of air.
    return nearest if 0.75 * ratios[0] < ratio < ratios[-1] else None


def mean_over_deviation(coils: int) -> float:
    """E y / sqrt(var y) of the root of the sum of squares of 2 ``coils`` normal numbers.

    >>> round(mean_over_deviation(1), 3)
    1.913
    """
    mean = math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils))
    return mean / math.sqrt(2 * coils - mean**2)
