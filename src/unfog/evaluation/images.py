r"""Distances between an image and the truth, one number a sample, in a mask if there is one.

    PSNR = 10 log10(range^2 / mean |x - y|^2)
    SSIM = mean of (2 m_x m_y + c_1)(2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2))

with local moments in a Gaussian window of 1.5 pixels, 11 wide, c_1 = (.01 range)^2, c_2 = (.03
range)^2 (Wang et al. 2004). Arithmetic is float64; tensors are (batch, channels, *space), masks
broadcast to them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.shapes import sum_per_sample
from unfog.errors import InputError

RADIUS, WIDTH = 5, 1.5  # the window of Wang et al.


def psnr(x: Tensor, truth: Tensor, mask: Tensor | None = None, value_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, (batch,); inf where they are equal."""
    x, truth = _pair(x, truth)
    return 10 * torch.log10(value_range**2 / _mean((x - truth) ** 2, mask))


def ssim(x: Tensor, truth: Tensor, mask: Tensor | None = None, value_range: float = 1.0) -> Tensor:
    """Structural similarity, (batch,): the mean of its map in the mask, or of all windows that lie
    within the image.
    """
    similarity = ssim_map(x, truth, value_range)
    if mask is None:
        for axis in range(2, x.ndim):
            similarity = similarity.narrow(axis, RADIUS, x.shape[axis] - 2 * RADIUS)
    return _mean(similarity, mask)


def ssim_map(x: Tensor, truth: Tensor, value_range: float = 1.0) -> Tensor:
    """SSIM at every pixel, shaped as ``x``; windows at the border see the image mirrored."""
    x, truth = _pair(x, truth)
    if min(x.shape[2:]) <= 2 * RADIUS:
        raise InputError(
            f"SSIM needs images of at least {2 * RADIUS + 1} pixels a side, got "
            f"{tuple(x.shape[2:])}."
        )
    c_1, c_2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    m_x, m_y = _window(x), _window(truth)
    s_x, s_y, s_xy = (
        _window(x * x) - m_x**2,
        _window(truth * truth) - m_y**2,
        _window(x * truth) - m_x * m_y,
    )
    return (2 * m_x * m_y + c_1) * (2 * s_xy + c_2) / ((m_x**2 + m_y**2 + c_1) * (s_x + s_y + c_2))


def coverage(truth: Tensor, low: Tensor, high: Tensor, mask: Tensor | None = None) -> Tensor:
    """The share of the truth's values inside the interval [low, high], (batch,)."""
    if not truth.shape == low.shape == high.shape:
        raise InputError(
            f"Coverage needs three shapes alike, got {tuple(truth.shape)}, {tuple(low.shape)} "
            f"and {tuple(high.shape)}."
        )
    return _mean(((truth >= low) & (truth <= high)).double(), mask)


def _pair(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape != truth.shape or x.ndim < 3:
        raise InputError(
            "An image and its truth must both be (batch, channels, *space), got "
            f"{tuple(x.shape)} and {tuple(truth.shape)}."
        )
    return x.double(), truth.double()


def _mean(value: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of each sample over its mask."""
    if mask is None:
        return value.flatten(1).mean(1)
    inside = mask.to(device=value.device, dtype=torch.bool).expand_as(value)
    count = sum_per_sample(inside)
    if not bool(count.all()):
        raise InputError(f"The mask of sample {int((count == 0).nonzero()[0])} is empty.")
    return sum_per_sample(value.masked_fill(~inside, 0)) / count


def _window(x: Tensor) -> Tensor:
    """A Gaussian mean along each axis of space, symmetric at the border (d c b a | a b c d)."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (offsets / WIDTH) ** 2)
    weights = weights / weights.sum()
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        place = torch.arange(-RADIUS, size + RADIUS, device=x.device)
        place = torch.where(
            place < 0, -1 - place, torch.where(place >= size, 2 * size - 1 - place, place)
        )
        x = x.index_select(axis, place).unfold(axis, 2 * RADIUS + 1, 1) @ weights
    return x
