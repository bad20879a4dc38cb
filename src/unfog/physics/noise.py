r"""Noise models of measurements.

Rician: the magnitude y = |x + n_1 + i n_2| of a complex signal whose two parts carry Gaussian noise of standard
deviation sigma; E[y^2] = x^2 + 2 sigma^2. The usual correction x ~ sqrt(y^2 - sigma^2) leaves, above a
signal-to-noise ratio of about 3, nearly Gaussian noise of standard deviation sigma (Gudbjartsson & Patz 1995).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.core.random import Randomness, normal_like


def add_gaussian(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """x + sigma noise."""
    return x + sigma * normal_like(x, randomness)


def add_rician(x: Tensor, sigma: float, randomness: Randomness) -> Tensor:
    """|x + sigma (n_1 + i n_2)|."""
    real = x + sigma * normal_like(x, randomness)
    return torch.hypot(real, sigma * normal_like(x, randomness))


def rician_to_gaussian(y: Tensor, sigma: float) -> Tensor:
    """Rician magnitudes with their bias removed, for methods that assume Gaussian noise."""
    return (y**2 - sigma**2).clamp(min=0).sqrt()


def _as_it_is(y: Tensor, sigma: float) -> Tensor:
    return y


# What turns a measurement with each kind of noise into one whose noise is nearly Gaussian, for methods that assume it.
to_gaussian: dict[str, Callable[[Tensor, float], Tensor]] = {"gaussian": _as_it_is, "rician": rician_to_gaussian}


def estimate_sigma(x: Tensor) -> Tensor:
    """Blind standard deviation of white noise, per sample: 1.4826 median |d| / 2, d the mixed second differences (after Immerkaer 1996).

    ``x`` (batch, channels, height, width). Edges of the image count little, by the median.
    """
    d = x[..., 1:, 1:] - x[..., 1:, :-1] - x[..., :-1, 1:] + x[..., :-1, :-1]
    flat = d.flatten(1).abs()
    signal = x[..., 1:, 1:].flatten(1) > 0
    values = torch.stack([row[keep].median() if bool(keep.any()) else row.median() for row, keep in zip(flat, signal, strict=True)])
    return 1.4826 * values / 2
