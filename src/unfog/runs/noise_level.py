"""The noise's deviation by the prior: the one under which what the denoiser leaves has the size
that it should have.

With m the posterior mean under noise of deviation s and V the covariance that the prior states,
E|B(y - x_0)|^2 given y is |B(y - m)|^2 + tr B V B^T for any filter B. Expectation maximisation sets

    s^2 <- (|B(y - m)|^2 + tr B V B^T) / tr B B^T,

whose fixed point is the most likely s where B is the identity. Here B is the finest band of detail,
of which noise is the largest part, and values are those well above the noise, where magnitudes of
any number of coils have nearly Gaussian noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from unfog.errors import MissingExtra
from unfog.physics.smoothing import noise_gain, smoothed
from unfog.runs.misfit import BANDS, Band, Spread, parts_of
from unfog.runs.run import Run, data_range

SCALES = ("fine", "medium")  # the bands that are asked
REACH = (3.0, 1.6, 1.2)  # of the search, as factors: less where nothing is above so much noise
HALVINGS = 3
CLOSE = 0.004  # relative
ABOVE = 3.0  # deviations: signal
LEAST = 1000  # values
CORRELATED = 0.85  # the finest band's deviation over the next one's: less where neighbours share


@dataclass(frozen=True)
class NoiseLevel:
    """What a prior says of the noise.

    Args:
        sigma: Its deviation, in natural units.
        medium: The same by the next band of detail.
    """

    sigma: float
    medium: float

    @property
    def correlated(self) -> bool:
        """Whether neighbours share noise: the finest band then has less of it than the next."""
        return self.sigma < CORRELATED * self.medium


def noise_by_prior(
    run: Run, y: Tensor, start: float, seed: int = 0, magnitude: bool = False
) -> NoiseLevel | None:
    """The noise's deviation in images, by expectation maximisation under the run's prior.

    Args:
        run: The prior.
        y: Images (images, channels, *space) in natural units.
        start: Where to begin, above 0.
        seed: Of the probes.
        magnitude: Whether they are magnitudes, whose square exceeds the signal's by the noise's.

    Returns:
        The level; None where fewer than a thousand values lie well above the noise.
    """
    levels = [_fixed_point(run, y, start, seed, magnitude, BANDS[band]) for band in SCALES]
    fine, medium = levels
    return None if fine is None or medium is None else NoiseLevel(fine, medium)


def _fixed_point(
    run: Run, y: Tensor, start: float, seed: int, magnitude: bool, band: Band
) -> float | None:
    """The deviation that a pass leaves as it is, by Brent's method: passes rise below it and fall
    above it, but slowly where noise is small. Looked for within a factor of the start.
    """

    def rise(log_sigma: float) -> float:
        sigma = math.exp(log_sigma)
        found = _step(run, y, sigma, seed, magnitude, band)
        return math.nan if found is None else math.log(found / sigma)

    middle = math.log(start)
    # The side on which it lies, then the end of that side.
    here = rise(middle)
    for _ in range(HALVINGS):  # a start so large that nothing is above it is halved
        if math.isnan(here):
            middle -= math.log(2)
            here = rise(middle)
    if math.isnan(here):
        return None
    end, there = middle, math.nan
    for reach in REACH:
        if math.isnan(there):
            end = middle + math.copysign(math.log(reach), here)
            there = rise(end)
    if math.isnan(there):
        return None
    if here * there > 0:  # beyond the end, which is an answer unless too much noise cut it short
        cut = abs(end - middle) < math.log(REACH[0]) - 1e-6
        return None if cut else math.exp(end)
    try:
        from scipy.optimize import brentq
    except ImportError as error:
        raise MissingExtra("demo", "scipy") from error
    root, _ = brentq(rise, middle, end, xtol=CLOSE, full_output=True, disp=False)
    return math.exp(root)


def _step(
    run: Run, y: Tensor, sigma: float, seed: int, magnitude: bool, band: Band
) -> float | None:
    """One pass of expectation maximisation by a band; None where there is too little signal."""
    from unfog.runs.restore import posterior_mean

    low = data_range(run)[0]
    # Chosen by an average over neighbours, in which the noise takes little part.
    signal = smoothed(y - low, 1.5) > (ABOVE + 1) * sigma
    if int(signal.sum()) < LEAST:
        return None
    # The square of a magnitude exceeds that of its signal by twice the noise's, that of its real
    # part by once.
    real = low + ((y - low) ** 2 - sigma**2).clamp(min=0).sqrt() if magnitude else y
    mean = posterior_mean(run, real, sigma)
    left, variance = parts_of(mean, Spread(run, real, sigma, seed), band)
    gain = noise_gain(y.shape[2:], *band).expand(y.shape)
    total = (left + variance.to(left))[signal].mean() / gain[signal].mean()
    return float(total.clamp(min=1e-12).sqrt())
