r"""Image quality against the truth, one number a sample, in a mask if there is one.

Arithmetic is float64; tensors are (batch, channels, *space), masks broadcast to them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.shapes import sum_per_sample
from unfog.errors import InputError

RADIUS, WIDTH = 5, 1.5  # the window of Wang et al.


def psnr(x: Tensor, truth: Tensor, mask: Tensor | None = None, value_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(range^2 / mean |x - y|^2).

    Args:
        x: (batch, channels, *space).
        truth: y, of the same shape.
        mask: Where it is taken; everywhere without one.
        value_range: The range of values.

    Returns:
        In dB, (batch,); inf where they are equal.

    Raises:
        InputError: The shapes differ, or the mask of a sample is empty.
    """
    x, truth = _pair(x, truth)
    return 10 * torch.log10(value_range**2 / _mean((x - truth) ** 2, mask))


def ssim(x: Tensor, truth: Tensor, mask: Tensor | None = None, value_range: float = 1.0) -> Tensor:
    """Structural similarity (Wang et al. 2004): the mean of its map (``ssim_map``).

    Args:
        x: (batch, channels, *space).
        truth: Of the same shape.
        mask: Where the map is averaged; without one, over all windows that lie within the image.
        value_range: The range of values.

    Returns:
        (batch,).

    Raises:
        InputError: The shapes differ, images are smaller than the window, or a mask is empty.
    """
    similarity = ssim_map(x, truth, value_range)
    if mask is None:
        for axis in range(2, x.ndim):
            similarity = similarity.narrow(axis, RADIUS, x.shape[axis] - 2 * RADIUS)
    return _mean(similarity, mask)


def ssim_map(x: Tensor, truth: Tensor, value_range: float = 1.0) -> Tensor:
    """Structural similarity at every pixel (Wang et al. 2004),

        (2 m_x m_y + c_1)(2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2)),

    with local means m and covariances s in a Gaussian window of 1.5 pixels, 11 wide, c_1 = (.01
    range)^2, c_2 = (.03 range)^2. Windows at the border see the image mirrored.

    Args:
        x: (batch, channels, *space).
        truth: y, of the same shape.
        value_range: The range of values.

    Returns:
        Shaped as ``x``.

    Raises:
        InputError: The shapes differ, or images are smaller than the window.
    """
    x, truth = _pair(x, truth)
    if min(x.shape[2:]) <= 2 * RADIUS:
        raise InputError(
            f"SSIM needs images of at least {2 * RADIUS + 1} pixels a side, got "
            f"{tuple(x.shape[2:])}."
        )
    c_1, c_2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    # Local means and covariances.
    m_x, m_y = _window(x), _window(truth)
    s_x, s_y, s_xy = (
        _window(x * x) - m_x**2,
        _window(truth * truth) - m_y**2,
        _window(x * truth) - m_x * m_y,
    )
    return (2 * m_x * m_y + c_1) * (2 * s_xy + c_2) / ((m_x**2 + m_y**2 + c_1) * (s_x + s_y + c_2))


def coverage(truth: Tensor, low: Tensor, high: Tensor, mask: Tensor | None = None) -> Tensor:
    """The share of the truth's values inside an interval [low, high].

    Args:
        truth: (batch, ...).
        low: Of the same shape.
        high: Of the same shape.
        mask: Where it is taken; everywhere without one.

    Returns:
        (batch,).

    Raises:
        InputError: The shapes differ, or the mask of a sample is empty.
    """
    if not truth.shape == low.shape == high.shape:
        raise InputError(
            f"Coverage needs three shapes alike, got {tuple(truth.shape)}, {tuple(low.shape)} "
            f"and {tuple(high.shape)}."
        )
    return _mean(((truth >= low) & (truth <= high)).double(), mask)


def _pair(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64; `InputError` unless they are images of one shape."""
    if x.shape != truth.shape or x.ndim < 3:
        raise InputError(
            "An image and its truth must both be (batch, channels, *space), got "
            f"{tuple(x.shape)} and {tuple(truth.shape)}."
        )
    return x.double(), truth.double()


def _mean(value: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of each sample over its mask, (batch,)."""
    if mask is None:
        return value.flatten(1).mean(1)
    inside = mask.to(device=value.device, dtype=torch.bool).expand_as(value)
    count = sum_per_sample(inside)
    if not bool(count.all()):
        raise InputError(f"The mask of sample {int((count == 0).nonzero()[0])} is empty.")
    return sum_per_sample(value.masked_fill(~inside, 0)) / count


def _window(x: Tensor) -> Tensor:
    """A local mean in the Gaussian window along each axis of space, mirrored at the border (d c b a
    | a b c d).
    """
    # The normalised Gaussian weights.
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (offsets / WIDTH) ** 2)
    weights = weights / weights.sum()
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        # Pixels of the mirrored image, and the weighted sum of each window.
        place = torch.arange(-RADIUS, size + RADIUS, device=x.device)
        place = torch.where(
            place < 0, -1 - place, torch.where(place >= size, 2 * size - 1 - place, place)
        )
        x = x.index_select(axis, place).unfold(axis, 2 * RADIUS + 1, 1) @ weights
    return x
