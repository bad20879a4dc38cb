"""Patches into channels and back, (un)shuffling of pixels in any number of dimensions (Shi et al.
2016), and the position of each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def pad_to_multiple(x: Tensor, patch: int) -> Tensor:
    """Zeros after each axis of (batch, channels, *space) until every size is a multiple of
    ``patch``.
    """
    extra = [n for size in reversed(x.shape[2:]) for n in (0, -size % patch)]
    return pad(x, extra) if any(extra) else x


def crop(x: Tensor, space: Sequence[int]) -> Tensor:
    """The first ``space`` of each axis: undoes the padding."""
    for axis, size in enumerate(space, 2):
        x = x.narrow(axis, 0, size)
    return x


def unshuffle(x: Tensor, patch: int) -> Tensor:
    """Pixel unshuffle: (batch, channels, *space) -> (batch, channels patch^d, *space / patch)."""
    batch, channels, *space = x.shape
    d = len(space)
    split = x.reshape(batch, channels, *(n for size in space for n in (size // patch, patch)))
    order = [0, 1, *range(3, 3 + 2 * d, 2), *range(2, 2 + 2 * d, 2)]
    return split.permute(order).reshape(
        batch, channels * patch**d, *(size // patch for size in space)
    )


def shuffle(x: Tensor, patch: int) -> Tensor:
    """Pixel shuffle, the inverse of ``unshuffle``."""
    batch, channels, *space = x.shape
    d = len(space)
    split = x.reshape(batch, channels // patch**d, *(patch,) * d, *space)
    order = [0, 1, *(axis for i in range(d) for axis in (2 + d + i, 2 + i))]
    return split.permute(order).reshape(
        batch, channels // patch**d, *(size * patch for size in space)
    )


def positions(space: Sequence[int], like: Tensor, octaves: int = 0) -> Tensor:
    """The position of each pixel: along each axis a line from -1 to 1, and its sines and cosines
    at 1, 2, 4, ... half waves.

    Args:
        space: sizes of the d axes.
        like: a tensor of the type and device asked for.
        octaves: number of frequencies.

    Returns:
        (d (1 + 2 octaves), *space).
    """
    lines = [torch.linspace(-1, 1, size, dtype=like.dtype, device=like.device) for size in space]
    line = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    waves = [f(torch.pi * 2**k * line) for k in range(octaves) for f in (torch.sin, torch.cos)]
    return torch.cat([line, *waves])
