"""The data set ``grid-mixture``: Gaussians on a grid in the plane, whose modes can be counted."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError

COUNTS = {"train": 20_000, "test": 5_000}


class GridMixture(ArrayDataset):
    """Points (2,) of an even mixture of side^2 Gaussians, at 2 (i - (side - 1) / 2) along both
    axes: with side 5 and width 0.05 the mixture of Srivastava et al. (2017, "VEEGAN"), on which
    GANs lose modes.

    Attributes:
        modes: Their places, (side^2, 2).
        width: The standard deviation of each.

    Args:
        split: ``train`` (20000 points) or ``test`` (5000).
        side: Modes a side.
        width: The standard deviation of a mode.
        seed: Of all points.

    Raises:
        InputError: An option is out of range.
    """

    def __init__(
        self, split: str = "train", side: int = 5, width: float = 0.05, seed: int = 0
    ) -> None:
        choose("The split of grid-mixture", split, tuple(COUNTS))
        if side < 1 or not 0 < width < 0.3:
            raise InputError(
                "A grid mixture has a mode a side or more, of a width between 0 and 0.3, so that "
                f"they lie apart, got {side} and {width}."
            )
        line = 2 * (torch.arange(side, dtype=torch.float32) - (side - 1) / 2)
        self.modes, self.width = torch.cartesian_prod(line, line), width
        randomness = generator(seed, f"grid-mixture-{split}")
        chosen = torch.randint(len(self.modes), (COUNTS[split],), generator=randomness)
        noise = torch.randn(COUNTS[split], 2, generator=randomness)
        high = float(side)  # the outermost modes and one more
        options = {"split": split, "side": side, "width": width, "seed": seed}
        codec = {"name": "range", "low": -high, "high": high}
        points: Tensor = self.modes[chosen] + width * noise
        super().__init__("grid-mixture", points, codec, options=options)


datasets.register("grid-mixture")(GridMixture)
