"""The perceptual distance: how far two pictures are in the features of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.core.shapes import mean_per_sample

Features = Callable[[Tensor], Sequence[Tensor]]  # x on the model's scale -> its feature maps
EPS = 1e-5


def perceptual_distance(features: Features, x: Tensor, y: Tensor) -> Tensor:
    """The mean, over a network's maps f_k, of |f_k(x) / |f_k(x)| - f_k(y) / |f_k(y)||^2 at each
    place, as LPIPS before its weights are fitted to people's judgements (Zhang et al. 2018).

    Args:
        features: The network's maps.
        x: (batch, channels, *space), through which no gradient goes.
        y: Shaped as x.

    Returns:
        (batch,).
    """
    with torch.no_grad():
        wanted = [_unit(f) for f in features(x)]
    distances = [
        mean_per_sample((_unit(f) - g).square().sum(1, keepdim=True))
        for f, g in zip(features(y), wanted, strict=True)
    ]
    return torch.stack(distances).mean(0)


def _unit(f: Tensor) -> Tensor:
    """Each place's features at length 1."""
    return f.float() / (f.float().square().sum(1, keepdim=True) + EPS).sqrt()
