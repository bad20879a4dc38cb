"""The data set ``beating-t1``: slices of a head that deform periodically, by a known law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unfog.core.random import generator
from unfog.data.builtin.mni import MniT1
from unfog.data.dataset import Dataset, Ids, choose, datasets, fingerprint
from unfog.errors import InputError

SPLITS = ("train", "validation", "test")
WAVES = 2  # of the displacement across the picture, at most, along each axis


@dataclass(frozen=True)
class Motion:
    """The truth of one clip.

    Args:
        field: The displacement at its largest, down and right, (2, rows, columns), in pixels.
        period: In frames.
        phase: At the first frame, in radians.
    """

    field: Tensor
    period: float
    phase: float

    def displacement(self, times: Tensor) -> Tensor:
        """At times (frames,) counted in frames, (frames, 2, rows, columns), in pixels."""
        beat = torch.sin(2 * torch.pi * times / self.period + self.phase)
        return beat[:, None, None, None] * self.field


class BeatingT1(Dataset):
    """Clips (1, frames, rows, columns) in [0, 1] of axial slices of the T1 template (``mni-t1``)
    that are moved by a smooth displacement u(p) sin(2 pi t / period + phase), as a heart or a
    breath moves what is around it: 4-D MRI whose every frame, and what lies between frames, is
    known.

    u is a sum of waves of up to two across the picture, its largest value ``weakest`` to
    ``strongest`` pixels; the period is uniform between ``shortest`` and ``longest`` frames. Clip i
    is a function of (seed, split, i) alone. The splits are those of the slices.

    Args:
        split: ``train``, ``validation`` or ``test``.
        frames: Of a clip.
        resolution: Of a pixel, in mm.
        count: The number of clips.
        weakest: The least largest displacement, in pixels.
        strongest: The greatest.
        shortest: The shortest period, in frames.
        longest: The longest.
        seed: The seed.

    Raises:
        InputError: An option is out of range, or the template cannot be fetched.
    """

    def __init__(
        self,
        split: str = "train",
        frames: int = 17,
        resolution: float = 4.0,
        count: int = 5_000,
        weakest: float = 1.0,
        strongest: float = 3.0,
        shortest: float = 8.0,
        longest: float = 16.0,
        seed: int = 0,
    ) -> None:
        choose("The split of beating-t1", split, SPLITS)
        if frames < 2 or count < 1 or not (0 <= weakest <= strongest and 2 < shortest <= longest):
            raise InputError(
                "beating-t1 needs 2 frames or more, rising displacements, and rising periods above "
                f"2 frames; got {frames}, {weakest} to {strongest}, {shortest} to {longest}."
            )
        slices = MniT1(split, resolution=resolution)
        self._slices = torch.from_numpy(np.ascontiguousarray(slices.arrays["x"]))
        self.name, self.split, self.seed, self.count = "beating-t1", split, seed, count
        self.shape = (1, frames, *self._slices.shape[2:])
        self.codec, self.conditions = {"name": "range", "low": 0, "high": 1}, {}
        self.format = "video"
        self._sizes, self._periods = (weakest, strongest), (shortest, longest)
        options: dict[str, Any] = {"of": slices.fingerprint, "frames": frames, "count": count}
        options |= {"seed": seed, "sizes": self._sizes, "periods": self._periods}
        self.fingerprint = fingerprint({}, options)

    def __len__(self) -> int:
        return self.count

    def motion(self, number: int) -> tuple[Tensor, Motion]:
        """The slice (1, rows, columns) of a clip, and how it moves."""
        g = generator(self.seed, self.name, self.split, number)
        which = int(torch.randint(len(self._slices), (), generator=g))
        size, period, phase = torch.rand(3, generator=g).tolist()
        field = _waves(self.shape[2:], g)
        low, high = self._sizes
        field = field * ((low + (high - low) * size) / field.norm(dim=0).max())
        first, last = self._periods
        return self._slices[which], Motion(
            field, first + (last - first) * period, 2 * np.pi * phase
        )

    def at(self, number: int, times: Tensor) -> Tensor:
        """A clip at times (frames,) counted in frames, also between them, (1, frames, rows,
        columns).
        """
        picture, motion = self.motion(number)
        return moved(picture, motion.displacement(times))

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        times = torch.arange(self.shape[1], dtype=torch.float32)
        return {"x": torch.stack([self.at(int(i), times) for i in self.index(ids)])}


datasets.register("beating-t1")(BeatingT1)


def moved(picture: Tensor, displacement: Tensor) -> Tensor:
    """A picture at each of some displacements: at p it shows what the picture shows at p + u, by
    bicubic interpolation.

    Args:
        picture: (channels, rows, columns).
        displacement: u, down and right, (frames, 2, rows, columns), in pixels.

    Returns:
        (channels, frames, rows, columns).
    """
    rows, columns = picture.shape[1:]
    down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    places = torch.stack(
        [
            2 * (right + displacement[:, 1]) / (columns - 1) - 1,
            2 * (down + displacement[:, 0]) / (rows - 1) - 1,
        ],
        -1,
    )
    low, high = float(picture.min()), float(picture.max())
    still = picture[None].expand(len(displacement), -1, -1, -1)
    out = F.grid_sample(still, places, "bicubic", "border", align_corners=True)
    return out.clamp(low, high).transpose(0, 1)


def _waves(space: tuple[int, ...], g: torch.Generator) -> Tensor:
    """A smooth displacement of no size in particular, (2, rows, columns), that vanishes at the
    border.
    """
    lines = [torch.linspace(0, torch.pi, n) for n in space]
    parts = torch.randn(2, WAVES, WAVES, generator=g)
    k = torch.arange(1, WAVES + 1, dtype=torch.float32)
    down, right = (torch.sin(k[:, None] * line) for line in lines)
    return torch.einsum("dij,iy,jx->dyx", parts, down, right)
