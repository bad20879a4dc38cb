r"""The statistics of a texture as a measurement: a picture may be given those of a swatch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unfog.errors import InputError

WAVELENGTHS = (2.5, 4.0, 6.5)  # pixels
TURNS = 4  # orientations of a wavelength, over half a turn
SPREAD = 0.45  # deviation of a Gabor filter's envelope, in wavelengths
FLOOR = 0.02  # added to an amplitude in squares, so that it has a slope where there is none


def gabor_bank(wavelengths: Sequence[float] = WAVELENGTHS, turns: int = TURNS) -> Tensor:
    """Pairs of Gabor filters, cosine and sine under one Gaussian (Gabor 1946; Jain & Farrokhnia
    1991), without a mean and of unit length.

    Args:
        wavelengths: In pixels.
        turns: Orientations, even over half a turn.

    Returns:
        (2 wavelengths turns, 1, side, side), the pair of each wavelength and orientation in turn.
    """
    radius = math.ceil(2.5 * SPREAD * max(wavelengths))
    at = torch.arange(-radius, radius + 1, dtype=torch.float32)
    down, across = torch.meshgrid(at, at, indexing="ij")
    filters = []
    for length in wavelengths:
        envelope = torch.exp(-(down**2 + across**2) / (2 * (SPREAD * length) ** 2))
        for k in range(turns):
            angle = math.pi * k / turns
            phase = 2 * math.pi / length * (math.cos(angle) * across + math.sin(angle) * down)
            for wave in (phase.cos(), phase.sin()):
                kernel = envelope * wave
                # Without the share of the envelope that has a mean.
                kernel = kernel - envelope * kernel.sum() / envelope.sum()
                filters.append(kernel / kernel.norm())
    return torch.stack(filters)[:, None]


class SwatchStatistics:
    """Mean and amplitudes of a texture within a region, by channel:

        m = mean x,      a_f = sqrt(mean (f_cos * (x - m))^2 + (f_sin * (x - m))^2 + e^2),

    f the pairs of ``gabor_bank``, e = ``FLOOR``: what of each frequency and direction there is, not
    where. A measurement for ``posterior.linearised`` or DPS, as Portilla & Simoncelli (2000) and
    Gatys et al. (2015) impose such statistics on noise. Outside the region x counts as m.

    Args:
        region: (1 or batch, 1, rows, columns) bool, where the texture is; None for everywhere.

    Raises:
        InputError: The region is empty.
    """

    def __init__(self, region: Tensor | None = None) -> None:
        if region is not None and not bool(region.flatten(1).any(1).all()):
            raise InputError("The region of a texture is empty; it needs a point.")
        self.region, self.bank = region, gabor_bank()

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, channels (1 + wavelengths turns)): of each channel its mean and amplitudes."""
        inside = torch.ones_like(x[:1, :1]) if self.region is None else self.region.to(x)
        area = inside.sum((2, 3), keepdim=True)
        mean = (x * inside).sum((2, 3), keepdim=True) / area
        # The filters see the texture alone, and are asked where they lie within it.
        texture = ((x - mean) * inside).flatten(0, 1)[:, None]
        responses = F.conv2d(texture, self.bank.to(x), padding="same")
        # By channel and pair, (batch, channels, pairs, rows, columns).
        pairs = responses.reshape(*x.shape[:2], -1, 2, *x.shape[2:])
        squares = pairs.square().sum(3)
        weight = (inside / area)[:, :, None]
        amplitudes = ((squares * weight).sum((3, 4)) + FLOOR**2).sqrt()
        return torch.cat([mean[..., 0], amplitudes], 2).flatten(1)
