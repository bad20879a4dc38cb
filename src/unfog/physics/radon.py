r"""The Radon transform, the measurements of CT (Radon 1917; Kak & Slaney 1988), with parallel rays
or those of a fan.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Operator


class Radon(Operator):
    """Line integrals of a square image along rays that a subclass lays out, one set for each
    angle; y is (batch, channels, angles, detectors):

        y(angle, detector) = sum of x along the ray, sampled bilinearly at steps of one pixel,
                             0 outside the image.

    The angle turns as scikit-image's does, about pixel (size // 2, size // 2). The transform is one
    sparse matrix, and its adjoint the transpose.
    """

    angles: Tensor
    size: int

    detectors: int

    @abstractmethod
    def rays(self, angle: Tensor) -> Tensor:
        """Points (detectors, samples, 2) as (across, down) from the centre, in pixels."""

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (self.size, self.size):
            raise InputError(
                f"This Radon transform is made for images of {self.size} x {self.size}, got "
                f"{tuple(x.shape[2:])}."
            )
        sums = _times(self._matrices(x)[0], x)
        return sums.view(*x.shape[:2], len(self.angles), -1)

    def adjoint(self, y: Tensor) -> Tensor:
        if y.shape[2:] != (len(self.angles), self.detectors):
            raise InputError(
                f"This Radon transform makes {len(self.angles)} angles of {self.detectors} "
                f"detectors, got {tuple(y.shape[2:])}."
            )
        return _times(self._matrices(y)[1], y).view(*y.shape[:2], self.size, self.size)

    def _matrices(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """A (angles x detectors, pixels) and its transpose, sparse, made once for each dtype and
        device.
        """
        matrices: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = (
            self.__dict__.setdefault("_kept", {})
        )
        key = (like.dtype, like.device)
        if key not in matrices:
            matrix = self._matrix().to(device=like.device, dtype=like.dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of torch, about its sparse tensors
                matrices[key] = matrix.to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()
        return matrices[key]

    def _matrix(self) -> Tensor:
        """The weights of pixels in rays, float64: a ray is the sum of its samples, each bilinear
        between four pixels, nothing outside.
        """
        pixels, rays, weights, above = list[Tensor](), list[Tensor](), list[Tensor](), 0
        for angle in self.angles:
            across, down = (self.rays(angle) + self.size // 2).unbind(-1)
            ray = (above + torch.arange(len(across)))[:, None].expand_as(across)
            # The four pixels about each sample.
            for right, below in ((0, 0), (0, 1), (1, 0), (1, 1)):
                column, row = across.floor() + right, down.floor() + below
                weight = (1 - (across - column).abs()) * (1 - (down - row).abs())
                inside = (
                    (column >= 0)
                    & (column < self.size)
                    & (row >= 0)
                    & (row < self.size)
                    & (weight > 0)
                )
                pixels.append((row * self.size + column)[inside].long())
                rays.append(ray[inside])
                weights.append(weight[inside])
            above += len(across)
        places = torch.stack([torch.cat(rays), torch.cat(pixels)])
        return torch.sparse_coo_tensor(
            places, torch.cat(weights), (above, self.size**2), check_invariants=False
        ).coalesce()


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix times each image of a batch, flattened, (batch x channels, rows)."""
    return (matrix @ x.flatten(0, 1).flatten(1).T.contiguous()).T


class ParallelBeam(Radon):
    """Parallel rays one pixel apart, as many as the image is wide. ``angles`` (n,) in degrees,
    ``size`` the width of the image.
    """

    def __init__(self, angles: Tensor, size: int) -> None:
        self.angles, self.size, self.detectors = _checked(angles), size, size

    def rays(self, angle: Tensor) -> Tensor:
        line = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        along, across = line[None, :], line[:, None]
        return _turned(across, along, angle)


class FanBeam(Radon):
    """A fan of rays from a source on a circle about the image.

    Args:
        angles: of the source, (n,), in degrees.
        size: width of the image, in pixels.
        radius: of the circle, in pixels; it lies outside the image.
        detectors: rays at each angle, at equal angles of the fan, 2 or more.
        opening: angle that the fan covers, in degrees.
    """

    def __init__(
        self, angles: Tensor, size: int, radius: float, detectors: int, opening: float
    ) -> None:
        if not radius > size / math.sqrt(2):
            raise InputError(
                "The source of a fan lies outside the image: its radius is above "
                f"{size / math.sqrt(2):.0f} pixels, got {radius}."
            )
        if not 0 < opening < 180 or detectors < 2:
            raise InputError("A fan has 2 detectors or more and opens by 0 to 180 degrees.")
        self.angles, self.size, self.radius = _checked(angles), size, radius
        self.detectors = detectors
        self.fan = torch.linspace(
            -opening / 2, opening / 2, detectors, dtype=torch.float64
        ).deg2rad()

    def rays(self, angle: Tensor) -> Tensor:
        half_diagonal = math.ceil(self.size / math.sqrt(2))
        distance = self.radius + torch.arange(
            -half_diagonal, half_diagonal + 1, dtype=torch.float64
        )
        across = distance[None, :] * self.fan.sin()[:, None]
        return _turned(across, distance[None, :] * self.fan.cos()[:, None] - self.radius, angle)


def _turned(across: Tensor, along: Tensor, angle: Tensor) -> Tensor:
    """Points of a beam at angle 0, whose rays run down the image, turned counter-clockwise."""
    c, s = angle.deg2rad().cos(), angle.deg2rad().sin()
    return torch.stack([c * across + s * along, -s * across + c * along], -1)


def _checked(angles: Tensor) -> Tensor:
    if angles.ndim != 1 or not len(angles) or not bool(angles.isfinite().all()):
        raise InputError(
            "The angles of a Radon transform are a list of at least one finite number of degrees."
        )
    return angles.double()
