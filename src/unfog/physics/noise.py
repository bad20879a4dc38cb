r"""Noise models of measurements.

Rician: the magnitude y = |x + n_1 + i n_2| of a complex signal whose two parts carry Gaussian noise
of standard deviation sigma; E[y^2] = x^2 + 2 sigma^2. The usual correction x ~ sqrt(y^2 - sigma^2)
leaves, above a signal-to-noise ratio of about 3, nearly Gaussian noise of standard deviation sigma
(Gudbjartsson & Patz 1995). Poisson: counts of quanta, y = Poisson(x / scale) scale with mean x and
variance scale x; mixed, with Gaussian read-out noise too. With an estimate of x the real part
itself can be expected, E[x + n_1 | y, x] = y I_1(u) / I_0(u), u = y x / sigma^2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.random import Randomness, normal_like
from unfog.errors import InputError


def add_gaussian(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """x + sigma noise."""
    return x + sigma * normal_like(x, randomness)


def add_rician(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """|x + sigma (n_1 + i n_2)|."""
    real = x + sigma * normal_like(x, randomness)
    return torch.hypot(real, sigma * normal_like(x, randomness))


def add_poisson(x: Tensor, scale: float, randomness: Randomness) -> Tensor:
    """Counts with mean x, in units of x: ``scale`` is what one quantum adds."""
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
    """Counts, then Gaussian noise: variance scale x + sigma^2."""
    return add_gaussian(add_poisson(x, scale, randomness), sigma, randomness)


def rician_to_gaussian(y: Tensor, sigma: float) -> Tensor:
    """Rician magnitudes with their bias removed, for methods that assume Gaussian noise."""
    return (y**2 - sigma**2).clamp(min=0).sqrt()


def expected_real_part(y: Tensor, x: Tensor, sigma: float) -> Tensor:
    """x + n_1 as expected from the Rician magnitude y and an estimate x >= 0 of the signal; its
    mean over y is x where x is true.
    """
    u = y * x.clamp(min=0) / sigma**2
    ratio: Tensor = torch.special.i1e(u) / torch.special.i0e(u)
    return y * ratio


def estimate_sigma(x: Tensor) -> Tensor:
    """Blind standard deviation of white noise, per sample: 1.4826 median |d| / 2, d the mixed
    second differences (after Immerkaer 1996).

    ``x`` (batch, channels, height, width). Edges of the image count little, by the median.
    """
    d = x[..., 1:, 1:] - x[..., 1:, :-1] - x[..., :-1, 1:] + x[..., :-1, :-1]
    flat = d.flatten(1).abs()
    signal = x[..., 1:, 1:].flatten(1) > 0
    values = torch.stack(
        [
            row[keep].median() if bool(keep.any()) else row.median()
            for row, keep in zip(flat, signal, strict=True)
        ]
    )
    return 1.4826 * values / 2


def estimate_edge_sigma(y: Tensor, share: float = 0.15) -> Tensor:
    """Blind standard deviation of white noise in k-space, per sample: 1.4826 median |y| of the
    ``share`` farthest from its middle.

    ``y`` (batch, channels, *space), zero frequency in the middle, 0 where nothing was measured. Far
    out an image has little left to say.
    """
    places = [(torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2) for n in y.shape[2:]]
    distance = sum(part**2 for part in torch.meshgrid(*places, indexing="ij")).sqrt()  # type: ignore[union-attr]
    found = []
    for sample in y:
        measured = sample.abs().sum(0) > 0
        far = (
            measured & (distance >= torch.quantile(distance[measured], 1 - share))
            if bool(measured.any())
            else measured
        )
        found.append(
            1.4826 * sample[:, far].abs().median() if bool(far.any()) else sample.new_zeros(())
        )
    return torch.stack(found)


def estimate_ray_sigma(y: Tensor) -> Tensor:
    """Blind standard deviation of noise that is independent from ray to ray, per sample: 1.4826
    median |d| / sqrt(70).

    ``y`` (batch, channels, angles, detectors); d are fourth differences along the detectors, in
    which a smooth sinogram vanishes.
    """
    if y.shape[-1] < 5:
        raise InputError(
            "The noise of a sinogram cannot be estimated from fewer than 5 detectors; give it."
        )
    d: Tensor = y.diff(n=4, dim=-1).flatten(1).abs()
    middle: Tensor = d.median(1).values
    return 1.4826 * middle / math.sqrt(70)
