"""The heads of a discriminator on another network's features (projected GAN: Sauer et
al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.networks.layers.blocks import convolution

NORM_GROUPS = 8


class Heads(nn.Module):
    """One small convolutional head a feature map: maps (batch, channels_k, *space_k), k = 1 .. K,
    to logits (batch, K), each the mean over its map's places.

    Args:
        channels: channels_k of each map.
        dims: spatial axes, 1 to 3.
        width: channels within a head.
    """

    def __init__(self, channels: Sequence[int], dims: int, width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(NORM_GROUPS if size % NORM_GROUPS == 0 else 1, size, affine=False),
                convolution(dims, size, width, 4, stride=2, padding=2),
                nn.SiLU(),
                convolution(dims, width, width),
                nn.SiLU(),
                convolution(dims, width, 1, 1),
            )
            for size in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.stack(
            [head(x).flatten(1).mean(1) for head, x in zip(self.heads, maps, strict=True)], 1
        )
