"""Data augmentations, chosen by name: pure functions of a batch and one generator per sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from unfog.core.conditions import class_maps
from unfog.core.registry import Registry
from unfog.errors import InputError

augmentations: Registry[Augmentation] = Registry("augmentation")


@augmentations.register("none")
@dataclass(frozen=True)
class Augmentation:
    """No augmentation, and the base of the others: a geometric ``warp``, then a change of ``tone``.

    ``x`` is (batch, channels, *space) in natural units. Training calls the augmentation; ``warp``
    alone, with generators seeded the same, moves a companion (a tissue map, a mask) exactly as the
    image was moved.
    """

    def __call__(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        return self.tone(self.warp(x, generators), generators)

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """The geometric part; it draws from the generators first."""
        return x

    def tone(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """The change of grey levels; it draws from the generators last."""
        return x


def warp_mask(
    augment: Augmentation, value: Tensor, classes: int, generators: Sequence[Generator]
) -> Tensor:
    """A mask moved as its image is: interpolation leaves no labels and no sum of one, so both are
    made anew.

    Args:
        augment: The image's augmentation.
        value: Labels (batch, 1, *space), or shares (batch, classes, *space).
        classes: How many there are.
        generators: Those of the image, seeded the same.

    Returns:
        Labels or shares, as given.
    """
    moved = augment.warp(class_maps(value, classes), generators).clamp(min=0)
    if value.shape[1] == 1:
        return moved.argmax(1, keepdim=True).to(value.dtype)
    return moved / moved.sum(1, keepdim=True)


def _uniform(count: int, x: Tensor, generators: Sequence[Generator]) -> Tensor:
    """(batch, count) numbers in [-1, 1), each row from its sample's generator."""
    if len(generators) != len(x):
        raise ValueError(f"{len(generators)} generators for a batch of {len(x)}")
    return torch.stack([torch.rand(count, generator=g) for g in generators]).to(x) * 2 - 1


@augmentations.register("flip")
@dataclass(frozen=True)
class Flip(Augmentation):
    """Random horizontal flip: mirrors along the last axis with probability 1/2."""

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        mirror = _uniform(1, x, generators).view(-1, *(1,) * (x.ndim - 1)) < 0
        return torch.where(mirror, x.flip(-1), x)


@augmentations.register("cube")
@dataclass(frozen=True)
class Cube(Augmentation):
    """One of the symmetries of a cube: the axes of space in random order, each mirrored with
    probability 1/2. For cubes (batch, channels, n, n, n) of isotropic voxels, 48 in three
    dimensions.
    """

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        if len(set(x.shape[2:])) != 1:
            raise InputError(
                f"The augmentation 'cube' needs one size along every axis, not {tuple(x.shape)}."
            )
        dims = x.ndim - 2
        drawn = _uniform(2 * dims, x, generators)
        orders, mirrors = drawn[:, :dims].argsort(1) + 1, drawn[:, dims:] < 0
        return torch.stack(
            [
                sample.permute(0, *order.tolist()).flip((mirror.nonzero()[:, 0] + 1).tolist())
                for sample, order, mirror in zip(x, orders, mirrors, strict=True)
            ]
        )


@augmentations.register("torus")
@dataclass(frozen=True)
class Torus(Augmentation):
    """Random cyclic shifts and quarter turns, for homogeneous isotropic fields (batch, channels, n,
    n) on a periodic square, whose law these keep.
    """

    def warp(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        if x.ndim != 4 or x.shape[2] != x.shape[3]:
            raise InputError(
                "The augmentation 'torus' needs square fields (batch, channels, n, n), not "
                f"{tuple(x.shape)}."
            )
        # Shifts of 0 .. n - 1 pixels down and across, and 0 .. 3 quarter turns.
        moves = (
            ((_uniform(3, x, generators) + 1) / 2 * torch.tensor([x.shape[2], x.shape[3], 4]))
            .long()
            .tolist()
        )
        return torch.stack(
            [
                torch.rot90(field.roll((down, across), (1, 2)), turns, (1, 2))
                for field, (down, across, turns) in zip(x, moves, strict=True)
            ]
        )


@augmentations.register("anatomy")
@dataclass(frozen=True)
class Anatomy(Augmentation):
    """Random affine and elastic deformations and a gamma curve, for the slices of heads (batch,
    channels, rows, columns).

    Interpolated once, bicubic, and clamped to each sample's own range; values at the edge are
    extended outwards.

    Args:
        rotation: The largest rotation, in degrees to either side.
        scale: The largest change of scale, as a fraction.
        shift: The largest shift along each axis, in pixels.
        elastic: The standard deviation of a smooth random displacement, in pixels.
        gamma: The largest change of the gamma curve's exponent from 1, on the sample's own range.
        knots: The control points of the displacement along each side.
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
        """The sampling grid of ``grid_sample``, (batch, rows, columns, 2) in [-1, 1]: the place
        that each pixel's value is taken from.
        """
        turn, zoom, *shift = (part.view(-1, 1, 1) for part in _uniform(4, x, generators).unbind(1))
        angle, zoom = turn.double() * math.radians(self.rotation), 1 + self.scale * zoom
        # In pixels from the centre, so that a rotation stays one on a picture that is not square.
        # Elementwise products: a matrix product would round differently in other batch sizes.
        column, row = (
            torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2
            for n in (x.shape[3], x.shape[2])
        )
        column, row = column[None, None, :], row[None, :, None]
        cos, sin = angle.cos().to(x) / zoom, angle.sin().to(x) / zoom
        # Rotation and scaling, then the shift, then the elastic displacement.
        bend = self._bend(x, generators)
        across = cos * column - sin * row + self.shift * shift[0] + bend[:, 0]
        down = sin * column + cos * row + self.shift * shift[1] + bend[:, 1]
        return torch.stack([across * (2 / x.shape[3]), down * (2 / x.shape[2])], -1)

    def _bend(self, x: Tensor, generators: Sequence[Generator]) -> Tensor:
        """A smooth random displacement (batch, 2, rows, columns) in pixels: white noise on a coarse
        grid, interpolated.
        """
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
