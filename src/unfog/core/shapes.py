"""Small helpers on shapes (batch, channels, *space)."""

from __future__ import annotations

from torch import Tensor


def expand(value: Tensor, like: Tensor) -> Tensor:
    """A number per sample (batch,) or per channel (batch, channels), or a scalar, shaped to
    broadcast over ``like`` (batch, channels, ...), in its type and on its device.
    """
    value = value.to(device=like.device, dtype=like.dtype)
    return value.reshape(*value.shape, *(1,) * (like.ndim - value.ndim)) if value.ndim else value


def sum_per_sample(x: Tensor) -> Tensor:
    """Sum over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).sum(1)


def mean_per_sample(x: Tensor) -> Tensor:
    """Mean over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).mean(1)
