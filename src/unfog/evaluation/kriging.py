r"""Kriging, that is Gaussian-process regression, of a stationary field on a periodic grid."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.errors import InputError


class Kriging:
    """The regression of a field from noisy values at some points of a periodic grid, the sensors.

    With the covariance c(r) = sum_k P(k) exp(i k . r) of the spectrum P, S the sensors and s the
    noise,

        mean(g) = c(g - S) (c(S - S) + s^2)^{-1} y,
        var(g) = c(0) - c(g - S) (c(S - S) + s^2)^{-1} c(S - g):

    the exact posterior of a Gaussian field of that spectrum, and the best linear estimate of any
    other (Krige 1951, Matheron 1963; Rasmussen & Williams 2006, ch. 2). Fields are (batch,
    channels, *space), every channel by itself; arithmetic is float64.

    Args:
        power: P (*space), the variance of each Fourier mode.
        sensors: (*space) bool.
        sigma: s, the deviation of the noise.

    Raises:
        InputError: The shapes differ, there is no sensor, or the noise is not above 0.
    """

    def __init__(self, power: Tensor, sensors: Tensor, sigma: float) -> None:
        if power.shape != sensors.shape or not bool(sensors.any()) or not sigma > 0:
            raise InputError(
                "Kriging needs a spectrum and sensors on one grid, at least one sensor, and a "
                "noise above 0."
            )
        self.power, self.sensors = power.double(), sensors.bool()
        covariance: Tensor = torch.fft.ifftn(self.power).real * power.numel()
        places = self.sensors.nonzero()  # (sensors, axes)
        grid = torch.cartesian_prod(*(torch.arange(n) for n in power.shape)).view(-1, power.ndim)
        # c(g - S), and the Cholesky factor of c(S - S) + s^2.
        self._cross = _between(covariance, grid, places)
        gram = _between(covariance, places, places) + sigma**2 * torch.eye(
            len(places), dtype=torch.float64
        )
        factor = torch.linalg.cholesky(gram)
        # The gain c(g - S) (c(S - S) + s^2)^{-1}, (grid, sensors).
        self._gain = torch.cholesky_solve(self._cross.T, factor).T
        self.sigma, self._total = sigma, covariance.flatten()[0]

    def mean(self, measurement: Tensor) -> Tensor:
        """The posterior mean for a ``measurement`` (batch, channels, *space), of which only the
        sensors' values are used.
        """
        estimate: Tensor = measurement.double()[..., self.sensors] @ self._gain.T
        return estimate.view(measurement.shape).to(measurement.dtype)

    def std(self) -> Tensor:
        """The posterior standard deviation of each value, (*space) float64."""
        variance = self._total - (self._gain * self._cross).sum(1)
        return variance.clamp(min=0).sqrt().view(self.power.shape)

    def draw(self, measurement: Tensor, generator: torch.Generator) -> Tensor:
        """One posterior draw for each ``measurement`` (batch, channels, *space): a draw of the
        prior, plus the estimate of what it misses of the measurement (Journel & Huijbregts 1978).
        """
        white = torch.randn(2, *measurement.shape, generator=generator, dtype=torch.float64)
        axes = tuple(range(-self.power.ndim, 0))
        # A field of spectrum P.
        prior: Tensor = torch.fft.ifftn(
            torch.fft.fftn(white[0], dim=axes) * (self.power * self.power.numel()).sqrt(), dim=axes
        ).real
        return (prior + self.mean(measurement.double() - prior - self.sigma * white[1])).to(
            measurement.dtype
        )


def _between(covariance: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """c(first - second) of places (n, axes) and (m, axes) on the grid, (n, m)."""
    size = torch.tensor(covariance.shape)
    index = (first[:, None] - second[None]) % size
    return covariance[tuple(index.unbind(-1))]
