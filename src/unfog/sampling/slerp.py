r"""Spherical interpolation (Shoemake 1985), between embeddings, and between noises, whose length it
keeps where a straight line would shorten it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError

STRAIGHT = 1e-6  # sine of an angle below which an arc is a line, or no arc is the shortest


def slerp(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """Points on the arc from a to b, sample by sample:

        sin((1 - s) w) / sin(w) a + sin(s w) / sin(w) b,      w the angle between a and b.

    Vectors of one length stay on their sphere and turn evenly with s; other lengths pass evenly
    from one to the other.

    Args:
        a: Where s = 0, (batch, ...).
        b: Where s = 1, shaped as a.
        share: s, one number or one a sample (batch,).

    Returns:
        Shaped as a.

    Raises:
        InputError: A vector is zero, or two are opposite, so that no arc is the shortest.
    """
    first, second = a.double(), b.double()
    lengths = [sum_per_sample(v.square()).sqrt() for v in (first, second)]
    if not all(bool((length > 0).all()) for length in lengths):
        raise InputError("Spherical interpolation needs vectors that are not zero.")
    u, v = (x / expand(length, x) for x, length in zip((first, second), lengths, strict=True))
    # The angle by its half's sine and cosine, exact for small and for large ones.
    angle = 2 * torch.atan2(
        sum_per_sample((u - v).square()).sqrt(), sum_per_sample((u + v).square()).sqrt()
    )
    if bool((angle > math.pi - STRAIGHT).any()):
        raise InputError("Spherical interpolation needs vectors that are not opposite.")
    s = torch.as_tensor(share, dtype=torch.float64, device=a.device).expand(len(a))
    sine = angle.sin()
    short = sine < STRAIGHT
    safe = torch.where(short, torch.ones_like(sine), sine)
    before = torch.where(short, 1 - s, ((1 - s) * angle).sin() / safe)
    after = torch.where(short, s, (s * angle).sin() / safe)
    length = (1 - s) * lengths[0] + s * lengths[1]
    return (expand(length, u) * (expand(before, u) * u + expand(after, u) * v)).to(a.dtype)
