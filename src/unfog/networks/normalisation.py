"""Group normalisation (Wu & He 2018) in the type of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfog.errors import InputError


class GroupNorm(nn.GroupNorm):
    """As torch's, but autocast does not widen it: a bfloat16 map stays bfloat16, its statistics are float32 all the same."""

    def __init__(self, groups: int, channels: int, eps: float = 1e-6) -> None:
        if channels % groups:
            raise InputError(f"{channels} channels do not divide into {groups} groups; choose a 'groups' that divides every level's width.")
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
