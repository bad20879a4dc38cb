"""Small helpers on shapes (batch, channels, *space)."""

from __future__ import annotations

from torch import Tensor


def expand(value: Tensor, like: Tensor) -> Tensor:
    """Per-sample numbers (batch,) or a scalar, shaped to multiply ``like`` (batch, ...) and in its type and device."""
    value = value.to(device=like.device, dtype=like.dtype)
    return value.reshape(-1, *(1,) * (like.ndim - 1)) if value.ndim else value


def sum_per_sample(x: Tensor) -> Tensor:
    """Sum over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).sum(1)


def mean_per_sample(x: Tensor) -> Tensor:
    """Mean over all but the batch axis: (batch, ...) -> (batch,)."""
    return x.flatten(1).mean(1)
