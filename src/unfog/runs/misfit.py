"""How far a denoised image errs, in deviations that the prior states: about 1 where images are
like those of the prior, more where it is wrong.

For y = x_0 + s n and any denoiser m(y), the error of its mean is known without x_0 (Stein 1981),

    E|B(m - x_0)|^2 = E|B(y - m)|^2 - s^2 tr B B^T + 2 tr B V B^T,

for any linear filter B, such as a band of detail, and V, s^2 times the Jacobian of m, is the
covariance that the prior states by Tweedie's second formula. So

    misfit^2 = E|B(m - x_0)|^2 / tr B V B^T
             = 1 + (E|B(y - m)|^2 - (s^2 tr B B^T - tr B V B^T)) / tr B V B^T,

what the mean leaves of the band over what the prior's own variance says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.physics.operators import Identity
from unfog.physics.smoothing import difference_of_gaussians, noise_gain, smoothed
from unfog.runs.memory import Budget, within_memory
from unfog.runs.model_scale import on_model_scale
from unfog.runs.run import Run, data_range
from unfog.runs.windows import in_windows

IMAGES = 16  # of a stack, evenly spaced, are looked at
ABOVE = 3.0  # deviations of the noise: signal, where that of magnitudes is Gaussian
LEAST = 1000  # values
Band = tuple[float | None, float | None]
# Deviations in pixels of the Gaussians between which a band lies; None is the image itself, or 0.
WHOLE: Band = (None, None)
BANDS: dict[str, Band] = {
    "fine": (None, 0.8),
    "medium": (0.8, 1.8),
    "coarse": (1.8, None),
}
NEAR, FEW = 5.0, 20  # of a map: deviation of the neighbourhood in pixels, and pixels that are few


class Spread:
    """The prior's covariance given y, times bands of a field v of random signs. Bands add up to the
    image, so once they are known, so is the whole.

    Args:
        run: The prior.
        y: Images with Gaussian noise in natural units, (images, channels, *space).
        sigma: The noise's standard deviation, in the same units.
        seed: Of the signs.
    """

    def __init__(self, run: Run, y: Tensor, sigma: float, seed: int = 0) -> None:
        self.run, self.y, self.sigma = run, y, sigma
        random = torch.randint(0, 2, y.shape, generator=generator(seed, "misfit"))
        self.signs = random.to(y) * 2 - 1
        self._known: dict[Band, Tensor] = {}

    def of(self, band: Band) -> Tensor:
        """Cov(x_0 | x_t) B^T v, shaped as y; the filters are symmetric."""
        if band == WHOLE and all(one in self._known for one in BANDS.values()):
            return torch.stack([self._known[one] for one in BANDS.values()]).sum(0)
        if band not in self._known:
            vectors = difference_of_gaussians(self.signs, *band)
            self._known[band] = _covariance(self.run, self.y, vectors, self.sigma)
        return self._known[band]


def misfit_of(run: Run, y: Tensor, mean: Tensor, sigma: float, seed: int = 0) -> float | None:
    """The root of the mean square error of a posterior mean over the variance that the prior states
    for it, where there is signal.

    Args:
        run: The prior.
        y: Images with Gaussian noise in natural units, (images, channels, *space).
        mean: The posterior mean given them.
        sigma: The noise's standard deviation, in the same units.
        seed: Of the probes that find the variance.

    Returns:
        The misfit; None where fewer than a thousand values are three deviations above the smallest
        value of the model's data.
    """
    some = _some(y)
    return _of_band(run, mean[some], Spread(run, y[some], sigma, seed), WHOLE)


def misfit_by_band(
    run: Run, y: Tensor, mean: Tensor, sigma: float, seed: int = 0
) -> dict[str, float | None]:
    """The misfit of each of ``BANDS``, and, as "whole", ``misfit_of``; arguments as of it.

    Args:
        run: The prior.
        y: Images with Gaussian noise in natural units, (images, channels, *space).
        mean: The posterior mean given them.
        sigma: The noise's standard deviation, in the same units.
        seed: Of the probes.

    Returns:
        A number for each band, None where there is too little signal.
    """
    some = _some(y)
    return by_band(run, mean[some], Spread(run, y[some], sigma, seed))


def by_band(run: Run, mean: Tensor, spread: Spread) -> dict[str, float | None]:
    """``misfit_by_band`` of images whose spread is at hand."""
    asked = {**BANDS, "whole": WHOLE}
    return {name: _of_band(run, mean, spread, band) for name, band in asked.items()}


def misfit_map(run: Run, mean: Tensor, spread: Spread) -> Tensor:
    """The misfit about each pixel: of both its parts a Gaussian average over the neighbourhood, to
    which what the whole has is added as much as twenty pixels weigh.

    Args:
        run: The prior.
        mean: The posterior mean of its images.
        spread: The prior's covariance given the noisy images.

    Returns:
        The map, shaped as y; 1 where there is no signal.
    """
    left, variance = parts_of(mean, spread, WHOLE)
    y, sigma = spread.y, spread.sigma
    signal = _signal(run, mean, sigma).to(y)
    if not bool(signal.any()):
        return torch.ones_like(y)
    # The averages are over pixels with signal; few of them are drawn to the average of all.
    pull = FEW / (2 * math.sqrt(math.pi) * NEAR) ** (y.ndim - 2)
    whole = [float((part * signal).sum() / signal.sum()) for part in (left, variance)]
    excess, stated = (
        smoothed(part * signal, NEAR) + pull * average
        for part, average in zip((left, variance), whole, strict=True)
    )
    weight = smoothed(signal, NEAR) + pull
    floor = 0.05 * max(whole[1], 1e-12)
    ratio = 1 + (excess - sigma**2 * weight + stated) / stated.clamp(min=floor)
    return torch.where(signal > 0, ratio.clamp(min=0).sqrt(), torch.ones_like(y))


def _some(y: Tensor) -> Tensor:
    """The numbers of the images that are looked at."""
    return torch.linspace(0, len(y) - 1, min(len(y), IMAGES)).round().long()


def _signal(run: Run, mean: Tensor, sigma: float) -> Tensor:
    """Where there is signal."""
    return mean - data_range(run)[0] > ABOVE * sigma


def _of_band(run: Run, mean: Tensor, spread: Spread, band: Band) -> float | None:
    """The misfit of a band, over the images together."""
    y, sigma = spread.y, spread.sigma
    signal = _signal(run, mean, sigma)
    if int(signal.sum()) < LEAST:
        return None
    left, variance = (part[signal].mean() for part in parts_of(mean, spread, band))
    if not float(variance) > 0:
        return None
    noise = sigma**2 * noise_gain(y.shape[2:], *band).expand(y.shape)[signal].mean()
    return math.sqrt(max(0.0, 1 + float((left - (noise - variance)) / variance)))


def parts_of(mean: Tensor, spread: Spread, band: Band) -> tuple[Tensor, Tensor]:
    """Of a band, the squares of what the mean leaves, and the variance that the prior states: an
    unbiased estimate v times B Cov(x_0 | x_t) B^T v, with v of random signs. Both shaped as y.
    """
    left = difference_of_gaussians(spread.y - mean, *band).square()
    return left, spread.signs * difference_of_gaussians(spread.of(band), *band)


def _covariance(run: Run, y: Tensor, vectors: Tensor, sigma: float) -> Tensor:
    """The prior's covariance given y, times vectors shaped as y, in natural units."""
    scaled = on_model_scale(run, y, Identity(), sigma)
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(scaled.sigma))

    def of_all(budget: Budget) -> Tensor:
        prior, parts = budget.prior(in_windows(run, run.denoiser, y.shape[2:])), []
        for x, v in zip(
            *(torch.split(each, budget.batch) for each in (scaled.y, vectors)), strict=True
        ):
            _, covariance = prior.with_covariance(x * process.alpha(t).to(x), t)
            parts.append(covariance(v).detach())
        return torch.cat(parts)

    product, _ = within_memory(of_all, Budget(4), y.shape[2:])
    return product * (sigma / scaled.sigma) ** 2
