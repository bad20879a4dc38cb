"""Augmentations: pure functions of a batch in natural units and one generator per sample.

``augmentation(x, generators)`` moves the image and then changes its tones. ``augmentation.warp``
alone, with generators seeded the same, moves a companion (a tissue map, a mask) exactly as the
image was moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from unfog.core.registry import Registry
from unfog.errors import InputError

augmentations: Registry[Augmentation] = Registry("augmentation")


@augmentations.register("none")
@dataclass(frozen=True)
class Augmentation:
    """No augmentation, and what the others are made of; ``x`` is (batch, channels, *space), natural
    units.
    """

    def __call__(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        return self.tone(self.warp(x, generators), generators)

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """The image moved; draws from the generators first."""
        return x

    def tone(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """The grey levels changed; draws from the generators last."""
        return x


def _uniform(count: int, x: Tensor, generators: Sequence[Generator]) -> Tensor:
    """(batch, count) numbers in [-1, 1), each row from its sample's generator."""
    if len(generators) != len(x):
        raise ValueError(f"{len(generators)} generators for a batch of {len(x)}")
    return torch.stack([torch.rand(count, generator=g) for g in generators]).to(x) * 2 - 1


@augmentations.register("flip")
@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirrors every other sample, on average, along the last axis."""

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        mirror = _uniform(1, x, generators).view(-1, *(1,) * (x.ndim - 1)) < 0
        return torch.where(mirror, x.flip(-1), x)


@augmentations.register("torus")
@dataclass(frozen=True)
class Torus(Augmentation):
    """For homogeneous, isotropic fields (batch, channels, n, n) on a periodic square: any shift,
    and any number of quarter turns.
    """

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        if x.ndim != 4 or x.shape[2] != x.shape[3]:
            raise InputError(
                "The augmentation 'torus' needs square fields (batch, channels, n, n), not "
                f"{tuple(x.shape)}."
            )
        chosen = (
            ((_uniform(3, x, generators) + 1) / 2 * torch.tensor([x.shape[2], x.shape[3], 4]))
            .long()
            .tolist()
        )
        return torch.stack(
            [
                torch.rot90(field.roll((down, across), (1, 2)), turns, (1, 2))
                for field, (down, across, turns) in zip(x, chosen, strict=True)
            ]
        )


@augmentations.register("anatomy")
@dataclass(frozen=True)
class Anatomy(Augmentation):
    """Small differences between heads, for slices (batch, channels, rows, columns).

    ``rotation`` +- degrees, ``scale`` +- fraction, ``shift`` +- pixels, ``elastic`` standard
    deviation in pixels of a smooth displacement (``knots`` control points a side), ``gamma`` +-
    fraction on each sample's own range. Interpolated once, bicubic, and kept within the sample's
    range; edge values reach outwards.
    """

    rotation: float = 6.0
    scale: float = 0.08
    shift: float = 3.0
    elastic: float = 1.0
    gamma: float = 0.15
    knots: int = 5

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        if x.ndim != 4:
            raise InputError(
                "The augmentation 'anatomy' needs slices (batch, channels, rows, columns), not "
                f"{tuple(x.shape)}."
            )
        moved = F.grid_sample(
            x, self._grid(x, generators), mode="bicubic", padding_mode="border", align_corners=False
        )
        return moved.clamp(*_range(x))

    def tone(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        power = (1 + self.gamma * _uniform(1, x, generators)).view(-1, 1, 1, 1)
        low, high = _range(x)
        span = (high - low).clamp(min=torch.finfo(x.dtype).tiny)
        return low + span * ((x - low) / span).pow(power)

    def _grid(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """Where each pixel comes from, (batch, rows, columns, 2) in [-1, 1]."""
        turn, zoom, *shift = (part.view(-1, 1, 1) for part in _uniform(4, x, generators).unbind(1))
        angle, zoom = turn.double() * math.radians(self.rotation), 1 + self.scale * zoom
        # In pixels from the centre, so that a rotation stays one on a picture that is not square;
        # plain products, because a matrix product rounds differently in batches of different size.
        column, row = (
            torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2
            for n in (x.shape[3], x.shape[2])
        )
        column, row = column[None, None, :], row[None, :, None]
        cos, sin = angle.cos().to(x) / zoom, angle.sin().to(x) / zoom
        bend = self._bend(x, generators)
        across = cos * column - sin * row + self.shift * shift[0] + bend[:, 0]
        down = sin * column + cos * row + self.shift * shift[1] + bend[:, 1]
        return torch.stack([across * (2 / x.shape[3]), down * (2 / x.shape[2])], -1)

    def _bend(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """A smooth random displacement (batch, 2, rows, columns) in pixels."""
        coarse = (
            torch.stack(
                [torch.randn(2, self.knots, self.knots, generator=g) for g in generators]
            ).to(x)
            * self.elastic
        )
        return F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=True)


def _range(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample's smallest and largest value, shaped to clamp it."""
    return x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
