"""Group normalisation (Wu & He 2018) in the type of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.errors import InputError


class GroupNorm(nn.GroupNorm):
    """torch's group normalisation, except that autocast does not widen it: a bfloat16 map stays
    bfloat16, and its statistics are float32 all the same.

    Args:
        groups: number of groups; it divides the channels.
        channels: channels of the map.
        eps: added to the variance.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-6) -> None:
        if groups < 1 or channels % groups:
            raise InputError(
                f"{channels} channels do not divide into {groups} groups; choose a 'groups' that "
                "divides every level's width."
            )
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        return _group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """(1 + scale) norm(x) + shift, in the one pass that the norm takes alone.

        Args:
            x: (batch, channels, *space).
            scale: (batch, channels).
            shift: (batch, channels).

        Returns:
            (batch, channels, *space).
        """
        if torch.compiler.is_exporting():  # groups are then a fixed number, and batches of any size
            space = (...,) + (None,) * (x.ndim - 2)
            out: Tensor = self(x) * (1 + scale[space]) + shift[space]
            return out
        weight, bias = self.weight * (1 + scale), self.bias * (1 + scale) + shift
        # The batch goes into the channels, so that each sample has an affine map of its own.
        joined = x.reshape(1, -1, *x.shape[2:])
        return _group_norm(
            joined, len(x) * self.num_groups, weight.flatten(), bias.flatten(), self.eps
        ).view_as(x)


def _group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.group_norm(x, groups, weight.to(x.dtype), bias.to(x.dtype), eps)
