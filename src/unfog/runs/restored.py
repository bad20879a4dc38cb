"""What restoration gives: images with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.evaluation.conformal import LEVEL


@dataclass(frozen=True)
class Restored:
    """Restored images in natural units.

    Args:
        mean: (images, channels, *space): E[x | y] itself in denoising, where it is known exactly,
            otherwise the mean of the samples.
        std: Standard deviation of the samples, (images, channels, *space).
        samples: Draws of x given y, (images, samples, channels, *space).
    """

    mean: Tensor
    std: Tensor
    samples: Tensor

    def interval(self, level: float = LEVEL, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """The central interval of N(mean, (scale std)^2) at each value.

        Args:
            level: The probability it holds, between 0 and 1.
            scale: A factor on the standard deviation, as ``unfog calibrate-uncertainty`` learns it.

        Returns:
            Its lower and upper end, shaped as the mean.
        """
        quantile = torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64))
        half = scale * self.std * quantile.to(self.std)
        return self.mean - half, self.mean + half

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.runs.notebook import restored_html

        return restored_html(self)
