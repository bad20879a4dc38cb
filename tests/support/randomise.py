"""Networks whose every tensor is drawn anew, since many start as the zero function."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def randomised(network: M, seed: int = 0) -> M:
    """The network in evaluation: matrices keep the size of what they multiply, scales stay about 1
    and shifts about 0.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, p in network.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim > 1:
            p.copy_(noise * p[0].numel() ** -0.5)
        else:
            p.copy_(0.3 * noise + (1.0 if name.endswith("weight") else 0.0))
    return network.eval()
