"""LPIPS, by the library of its authors where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError

NOT_THERE = (
    "LPIPS is the library lpips's, which is not installed: it brings torchvision, so install it in "
    "an environment of its own."
)
LEAST, BATCH = 32, 16  # pixels a side


def has_lpips() -> bool:
    """Whether the library is installed."""
    return find_spec("lpips") is not None


@torch.no_grad()
def lpips(x: Tensor, truth: Tensor) -> Tensor:
    """The perceptual distance (Zhang et al. 2018) of pictures from their truth, AlexNet's.

    Args:
        x: (n, 1 or 3, height, width), in [0, 1].
        truth: Shaped as ``x``.

    Returns:
        (n,), 0 where they are alike.

    Raises:
        InputError: The pictures have another shape, or are smaller than 32 pixels, or the library
            is not installed.
    """
    fits = x.ndim == 4 and x.shape[1] in (1, 3) and min(x.shape[2:]) >= LEAST
    if not fits or x.shape != truth.shape:
        raise InputError(
            f"LPIPS is of pictures in grey or colour of {LEAST} pixels a side or more, alike in "
            f"shape, not {tuple(x.shape)} and {tuple(truth.shape)}."
        )
    try:
        import lpips as library
    except ImportError as error:
        raise InputError(NOT_THERE) from error
    network: Any = library.LPIPS(net="alex", verbose=False).eval()
    pairs = zip(torch.split(x.float(), BATCH), torch.split(truth.float(), BATCH), strict=True)
    # Grey is repeated to three channels, and [0, 1] becomes [-1, 1].
    return torch.cat(
        [
            network(*((2 * v.clamp(0, 1) - 1).expand(-1, 3, -1, -1) for v in pair)).view(-1)
            for pair in pairs
        ]
    )
