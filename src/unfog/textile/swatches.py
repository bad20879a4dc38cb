"""The data set ``swatches``: coloured squares of texture at a known scale and rotation."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unfog.core.named_class import named
from unfog.core.random import generator
from unfog.data.builtin.textures import PHOTOGRAPHS, photograph
from unfog.data.dataset import ArrayDataset, choose, datasets

SIDE = 64
COLUMNS = {"train": (0, 320), "test": (328, 512)}
SCALES, ROTATIONS = (0.5, 1.0), (-45.0, 45.0)
FINER = 2  # points along a pixel's side, whose mean it is
COUNT = {"train": 6000, "test": 600}


class Swatches(ArrayDataset):
    """Squares (3, 64, 64) of the photographs of ``textures`` in [0, 255], each

        - at a scale, of 1 in the photograph's own pixels to 0.5, where everything is half as large;
        - turned by -45 to 45 degrees, counter-clockwise;
        - coloured along a line from a dark to a light colour, drawn anew for every square.

    Conditions are ``label``, the photograph (brick, grass or gravel), and ``property``, scale and
    rotation, each less its mean over its deviation. Training squares come from columns 0 to 319,
    those of ``test`` from 328 to 511.

    Args:
        split: ``train`` or ``test``.
        count: How many; 6000 and 600 by default.
        coloured: Whether there are colours; otherwise they are grey, in three equal channels.

    Attributes:
        scales: Of each property its mean, deviation, smallest and largest value, by name.
    """

    def __init__(self, split: str = "train", count: int = 0, coloured: bool = True) -> None:
        choose("The split of swatches", split, tuple(COLUMNS))
        count = count or COUNT[split]
        numbers = torch.stack(
            [torch.rand(10, generator=generator("swatches", split, k)) for k in range(count)]
        ).double()
        properties = torch.stack(
            [_between(*SCALES, numbers[:, 0]), _between(*ROTATIONS, numbers[:, 1])], 1
        )
        label = torch.arange(count) % len(PHOTOGRAPHS)
        strips = [_strip(name, split) for name in PHOTOGRAPHS]
        x = np.empty((count, 3, SIDE, SIDE), np.uint8)
        for k in range(count):
            grey = _cut(strips[int(label[k])], properties[k], numbers[k, 2:4])
            x[k] = _coloured(grey, numbers[k, 4:] if coloured else None)
        # Evenly spread numbers have these means and deviations.
        ends = {"scale": SCALES, "rotation": ROTATIONS}
        self.scales = {
            name: ((low + high) / 2, (high - low) / math.sqrt(12), low, high)
            for name, (low, high) in ends.items()
        }
        mean, deviation = torch.tensor([scale[:2] for scale in self.scales.values()]).double().T
        super().__init__(
            "swatches",
            x,
            {"name": "range", "low": 0, "high": 255},
            {"label": named(PHOTOGRAPHS), "property": {"name": "numbers", "size": 2}},
            {
                "label": label.numpy(),
                "property": ((properties - mean) / deviation).float().numpy(),
            },
            {"split": split, "coloured": coloured},
        )


datasets.register("swatches")(Swatches)


def _between(low: float, high: float, share: Tensor) -> Tensor:
    """From low to high."""
    return low + (high - low) * share


def _strip(name: str, split: str) -> Tensor:
    """A photograph's columns (1, 1, rows, columns), its values' 1st and 99th percentile 0 and 1."""
    first, end = COLUMNS[split]
    grey = photograph(name)[:, first:end].astype(np.float64)
    low, high = np.percentile(grey, (1, 99))
    return torch.from_numpy(((grey - low) / (high - low)).clip(0, 1)).float()[None, None]


def _cut(strip: Tensor, properties: Tensor, place: Tensor) -> Tensor:
    """A square (64, 64) of a strip at a scale and a rotation, its middle where ``place`` says."""
    scale, turn = properties[0], torch.deg2rad(properties[1])
    # The square's corners stay within the strip.
    reach = SIDE / 2 / scale * (turn.cos() + turn.sin().abs())
    rows, columns = strip.shape[2:]
    middle = [
        _between(float(reach), n - float(reach), p)
        for n, p in zip((rows, columns), place, strict=True)
    ]
    at = (torch.arange(SIDE * FINER, dtype=torch.float64) + 0.5) / FINER - SIDE / 2
    down, across = torch.meshgrid(at / scale, at / scale, indexing="ij")
    # What lies in a direction in the square lies turned back in the photograph.
    r = middle[0] + turn.cos() * down + turn.sin() * across
    c = middle[1] - turn.sin() * down + turn.cos() * across
    grid = torch.stack([2 * c / columns - 1, 2 * r / rows - 1], -1).float()
    fine = F.grid_sample(
        strip, grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )
    return F.avg_pool2d(fine, FINER)[0, 0].clamp(0, 1)


def _coloured(grey: Tensor, numbers: Tensor | None) -> NDArray[np.uint8]:
    """Grey (64, 64) in [0, 1] as bytes (3, 64, 64), along a line between two colours."""
    if numbers is None:
        picture = grey.expand(3, -1, -1)
    else:
        dark, light = 0.45 * numbers[:3].float(), 1 - 0.45 * numbers[3:].float()
        picture = dark[:, None, None] + (light - dark)[:, None, None] * grey
    bytes_: NDArray[np.uint8] = (255 * picture).round().byte().numpy()
    return bytes_
