r"""The Radon transform: line integrals of a square image, the measurements of CT (Radon 1917; Kak & Slaney 1988).

    y(angle, detector) = sum along the ray of x, sampled bilinearly at steps of one pixel, with 0 outside the image;

rays at one angle are parallel, or spread from a source on a circle as a fan. The angle turns as scikit-image's does, about pixel
(size // 2, size // 2). The adjoint is the exact transpose of the sampling, by automatic differentiation. y is (batch, channels, angles,
detectors).
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Operator


class Radon(Operator):
    """Line integrals along rays that a subclass lays out, one set for each angle."""

    angles: Tensor
    size: int

    @abstractmethod
    def rays(self, angle: Tensor) -> Tensor:
        """Points (detectors, samples, 2) as (across, down) from the centre, in pixels."""

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (self.size, self.size):
            raise InputError(f"This Radon transform is made for images of {self.size} x {self.size}, got {tuple(x.shape[2:])}.")
        views = [self._view(x, angle) for angle in self.angles]
        return torch.stack(views, 2)

    def adjoint(self, y: Tensor) -> Tensor:
        x = torch.zeros(*y.shape[:2], self.size, self.size, dtype=y.dtype, device=y.device)
        for angle, row in zip(self.angles, y.unbind(2), strict=True):  # one angle at a time bounds the memory
            with torch.enable_grad():
                image = torch.zeros_like(x).requires_grad_()
                (back,) = torch.autograd.grad(self._view(image, angle), image, row)
            x = x + back
        return x

    def _view(self, x: Tensor, angle: Tensor) -> Tensor:
        """One angle, (batch, channels, detectors)."""
        centre = self.size // 2
        places = (2 * (self.rays(angle) + centre) + 1) / self.size - 1  # pixel i lies at (2 i + 1) / size - 1
        planes = x.flatten(0, 1)[None]
        sampled = torch.nn.functional.grid_sample(planes, places.to(x)[None], padding_mode="zeros", align_corners=False)
        return sampled[0].sum(2).view(*x.shape[:2], -1)


class ParallelBeam(Radon):
    """Parallel rays one pixel apart, as many as the image is wide."""

    def __init__(self, angles: Tensor, size: int) -> None:
        """``angles`` (n,) in degrees."""
        self.angles, self.size = _checked(angles), size

    def rays(self, angle: Tensor) -> Tensor:
        line = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        along, across = line[None, :], line[:, None]
        return _turned(across, along, angle)


class FanBeam(Radon):
    """Rays from a source on a circle of ``radius`` pixels to ``detectors`` at equal angles of the fan, which covers ``opening`` degrees."""

    def __init__(self, angles: Tensor, size: int, radius: float, detectors: int, opening: float) -> None:
        if not radius > size / math.sqrt(2):
            raise InputError(
                f"The source of a fan lies outside the image: its radius is above {size / math.sqrt(2):.0f} pixels, got {radius}."
            )
        if not 0 < opening < 180 or detectors < 2:
            raise InputError("A fan has 2 detectors or more and opens by 0 to 180 degrees.")
        self.angles, self.size, self.radius = _checked(angles), size, radius
        self.fan = torch.linspace(-opening / 2, opening / 2, detectors, dtype=torch.float64).deg2rad()

    def rays(self, angle: Tensor) -> Tensor:
        reach = math.ceil(self.size / math.sqrt(2))
        distance = self.radius + torch.arange(-reach, reach + 1, dtype=torch.float64)
        across = distance[None, :] * self.fan.sin()[:, None]
        return _turned(across, distance[None, :] * self.fan.cos()[:, None] - self.radius, angle)


def _turned(across: Tensor, along: Tensor, angle: Tensor) -> Tensor:
    """Points of a beam at angle 0, whose rays run down the image, turned counter-clockwise."""
    c, s = angle.deg2rad().cos(), angle.deg2rad().sin()
    return torch.stack([c * across + s * along, -s * across + c * along], -1)


def _checked(angles: Tensor) -> Tensor:
    if angles.ndim != 1 or not len(angles) or not bool(angles.isfinite().all()):
        raise InputError("The angles of a Radon transform are a list of at least one finite number of degrees.")
    return angles.double()
