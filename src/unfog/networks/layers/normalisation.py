"""Group normalisation (Wu & He 2018) in the type of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.errors import InputError


class GroupNorm(nn.GroupNorm):
    """As torch's, but autocast does not widen it: a bfloat16 map stays bfloat16, its statistics are
    float32 all the same.
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
        """(1 + scale) norm(x) + shift, for scale and shift (batch, channels), in the one pass that
        the norm takes alone.
        """
        weight, bias = self.weight * (1 + scale), self.bias * (1 + scale) + shift
        # Samples become groups of one sample, and so each has an affine map of its own.
        joined = x.reshape(1, -1, *x.shape[2:])
        return _group_norm(
            joined, len(x) * self.num_groups, weight.flatten(), bias.flatten(), self.eps
        ).view_as(x)


def _group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.group_norm(x, groups, weight.to(x.dtype), bias.to(x.dtype), eps)
