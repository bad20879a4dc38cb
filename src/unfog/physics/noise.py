r"""Noise models of measurements: Gaussian, Rician, Poisson, and blind estimates of their
deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.random import Randomness, normal_like
from unfog.errors import InputError


def add_gaussian(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """x + sigma z, z ~ N(0, I).

    Args:
        x: (batch, channels, *space).
        sigma: deviation of the noise.
        randomness: a generator, or one a sample.

    Returns:
        The measurement, as x.
    """
    return x + sigma * normal_like(x, randomness)


def add_rician(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """Rician noise, |x + sigma (n_1 + i n_2)|: the magnitude of a complex signal whose two parts
    carry Gaussian noise. E[y^2] = x^2 + 2 sigma^2.

    Args:
        x: (batch, channels, *space).
        sigma: deviation of the noise of either part.
        randomness: a generator, or one a sample.

    Returns:
        The measurement, as x.
    """
    real = x + sigma * normal_like(x, randomness)
    return torch.hypot(real, sigma * normal_like(x, randomness))


def add_poisson(x: Tensor, scale: float, randomness: Randomness) -> Tensor:
    """Counts of quanta, Poisson(x / scale) scale, of mean x and variance scale x.

    Args:
        x: signal, nowhere negative, (batch, channels, *space).
        scale: what one quantum adds, in units of x.
        randomness: a generator, or one a sample.

    Returns:
        The measurement, as x.

    Raises:
        InputError: for a negative signal, or a scale that is not above zero.
    """
    if not scale > 0 or bool((x < 0).any()):
        raise InputError(
            "Poisson noise needs a signal that is nowhere negative and a scale above zero."
        )
    rate = (x / scale).cpu()
    if isinstance(randomness, torch.Generator):
        counts = torch.poisson(rate, generator=randomness)
    else:
        counts = torch.stack(
            [torch.poisson(row, generator=g) for row, g in zip(rate, randomness, strict=True)]
        )
    return counts.to(x) * scale


def add_poisson_gaussian(x: Tensor, scale: float, sigma: float, randomness: Randomness) -> Tensor:
    """Counts, then Gaussian read-out noise: variance scale x + sigma^2.

    Args:
        x: signal, nowhere negative, (batch, channels, *space).
        scale: what one quantum adds, in units of x.
        sigma: deviation of the read-out noise.
        randomness: a generator, or one a sample.

    Returns:
        The measurement, as x.
    """
    return add_gaussian(add_poisson(x, scale, randomness), sigma, randomness)


def rician_to_gaussian(y: Tensor, sigma: float) -> Tensor:
    """Rician magnitudes y with their bias removed, sqrt(y^2 - sigma^2), for methods that assume
    Gaussian noise: above a signal-to-noise ratio of about 3 what is left is nearly Gaussian of
    deviation sigma (Gudbjartsson & Patz 1995).
    """
    return (y**2 - sigma**2).clamp(min=0).sqrt()


def expected_real_part(y: Tensor, x: Tensor, sigma: float) -> Tensor:
    """The real part expected from a Rician magnitude and an estimate of the signal,

        E[x + n_1 | y, x] = y I_1(u) / I_0(u),     u = y x / sigma^2;

    its mean over y is x where x is true.

    Args:
        y: the magnitude.
        x: the estimate, as y; taken as 0 where negative.
        sigma: deviation of the noise of either part.

    Returns:
        As y.
    """
    u = y * x.clamp(min=0) / sigma**2
    ratio: Tensor = torch.special.i1e(u) / torch.special.i0e(u)
    return y * ratio


def estimate_sigma(x: Tensor) -> Tensor:
    """Blind deviation of white noise, per sample (batch,): 1.4826 median |d| / 2, d the mixed
    second differences (after Immerkaer 1996), over pixels with signal.

    ``x`` (batch, channels, height, width). Edges of the image count little, by the median.
    """
    d = x[..., 1:, 1:] - x[..., 1:, :-1] - x[..., :-1, 1:] + x[..., :-1, :-1]
    flat = d.flatten(1).abs()
    # Pixels above zero, where there are any: background may have been set to zero.
    signal = x[..., 1:, 1:].flatten(1) > 0
    values = torch.stack(
        [
            row[keep].median() if bool(keep.any()) else row.median()
            for row, keep in zip(flat, signal, strict=True)
        ]
    )
    return 1.4826 * values / 2


def estimate_edge_sigma(y: Tensor, share: float = 0.15) -> Tensor:
    """Blind deviation of white noise in k-space, per sample (batch,): 1.4826 median |y| of the
    ``share`` farthest from its middle, where an image has little signal left.

    ``y`` (batch, channels, *space), zero frequency in the middle, 0 where nothing was measured.
    """
    places = [(torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2) for n in y.shape[2:]]
    distance = sum(part**2 for part in torch.meshgrid(*places, indexing="ij")).sqrt()  # type: ignore[union-attr]
    sigmas = []
    for sample in y:
        measured = sample.abs().sum(0) > 0
        far = (
            measured & (distance >= torch.quantile(distance[measured], 1 - share))
            if bool(measured.any())
            else measured
        )
        sigmas.append(
            1.4826 * sample[:, far].abs().median() if bool(far.any()) else sample.new_zeros(())
        )
    return torch.stack(sigmas)


def estimate_ray_sigma(y: Tensor) -> Tensor:
    """Blind deviation of noise that is independent from ray to ray, per sample (batch,): 1.4826
    median |d| / sqrt(70), d the fourth differences along the detectors, in which a smooth sinogram
    vanishes; 70 is the sum of their squared weights.

    ``y`` (batch, channels, angles, detectors).
    """
    if y.shape[-1] < 5:
        raise InputError(
            "The noise of a sinogram cannot be estimated from fewer than 5 detectors; give it."
        )
    d: Tensor = y.diff(n=4, dim=-1).flatten(1).abs()
    median: Tensor = d.median(1).values
    return 1.4826 * median / math.sqrt(70)
