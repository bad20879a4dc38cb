"""Small helpers on shapes (batch, channels, *space)."""

from __future__ import annotations

import math
from typing import overload

import torch
from torch import Tensor

Number = float | Tensor  # a number for all, or one per sample (batch,) or channel (batch, channels)


@overload
def expand(value: float, like: Tensor) -> float: ...
@overload
def expand(value: Tensor, like: Tensor) -> Tensor: ...
def expand(value: Number, like: Tensor) -> Number:
    """A number per sample (batch,) or per channel (batch, channels), or a scalar, shaped to
    broadcast over ``like`` (batch, channels, ...), in its type and on its device; a float as it is.
    """
    if isinstance(value, float):
        return value
    value = value.to(device=like.device, dtype=like.dtype)
    return value.reshape(*value.shape, *(1,) * (like.ndim - value.ndim)) if value.ndim else value


def blend(a: Number, x: Tensor, b: Number, y: Tensor) -> Tensor:
    """a x + b y, in two passes over memory where a and b are floats.

    Args:
        a: The weight of x.
        x: (batch, channels, *space).
        b: The weight of y.
        y: Shaped as x.

    Returns:
        The sum.
    """
    return plus(expand(a, x) * x, b, y)


def root(value: Number) -> Number:
    """The square root of a variance, whose rounding may have left it below 0."""
    if isinstance(value, float):
        return math.sqrt(max(value, 0.0))
    return value.clamp(min=0).sqrt()


def plus(x: Tensor, b: Number, y: Tensor) -> Tensor:
    """x + b y.

    Args:
        x: (batch, channels, *space).
        b: The weight of y.
        y: Shaped as x.

    Returns:
        The sum.
    """
    if isinstance(b, float):
        return torch.add(x, y, alpha=b)
    return x + expand(b, x) * y


def sum_per_sample(x: Tensor) -> Tensor:
    """Sum over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).sum(1)


def mean_per_sample(x: Tensor) -> Tensor:
    """Mean over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).mean(1)
