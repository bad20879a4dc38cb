"""The shortcut of a U-Net: a share of its input, learned of the label, added to its output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.core.shapes import expand
from unfog.errors import InputError


def shortcut_factors(width: int, in_channels: int, out_channels: int) -> nn.Linear:
    """The embedding to a factor for each channel of x."""
    if out_channels < in_channels:
        raise InputError(
            f"A U-Net's shortcut adds {in_channels} channels to {out_channels}; leave it out."
        )
    return nn.Linear(width, in_channels)


def with_share(shortcut: nn.Linear, out: Tensor, x: Tensor, e: Tensor) -> Tensor:
    """The output (batch, out_channels, *space), in the type of x, with x times factors of the
    embedding added to its first channels. In float32: near alpha = 0 the last digits of bfloat16
    are as large as the data.
    """
    with torch.autocast(x.device.type, enabled=False):
        factors = shortcut(e.to(shortcut.weight.dtype))
    out, count = out.to(x.dtype), x.shape[1]
    return torch.cat([out[:, :count] + expand(factors, x) * x, out[:, count:]], 1)
