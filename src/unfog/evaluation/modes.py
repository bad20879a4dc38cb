"""How much of a mixture of Gaussians samples find (Srivastava et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

WITHIN = 3.0  # standard deviations within which a sample is one of a mode


def modes_found(x: Tensor, modes: Tensor, width: float) -> dict[str, float]:
    """Which modes samples lie in, and how evenly.

    A sample is of high quality where it lies within three standard deviations of its nearest mode:
    a share 1 - e^(-9/2) = 0.9889 of real points in the plane is. A mode is found where one of these
    is its own. The divergence is KL(samples over modes | even), in nats, over the samples of high
    quality.

    Args:
        x: (n, d).
        modes: Their places, (k, d).
        width: The standard deviation of each.

    Returns:
        "modes" found, the share of "high quality", and the "uneven" divergence; log k where no
        sample is of high quality.
    """
    distance, nearest = torch.cdist(x.double(), modes.double()).min(1)
    good = distance <= WITHIN * width
    share = torch.bincount(nearest[good], minlength=len(modes)).double()
    found = int((share > 0).sum())
    uneven = torch.log(torch.tensor(float(len(modes)), dtype=torch.float64))
    if found:
        share = share / share.sum()
        uneven = uneven + torch.xlogy(share, share).sum()
    return {
        "modes": float(found),
        "high quality": float(good.double().mean()),
        "uneven": float(uneven),
    }
