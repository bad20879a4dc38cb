"""Operators by name, for ``unfog restore --task custom --operator FILE.yaml``.

The file names one operator, or a list of them in the order they act:

    - {name: blur, deviation: 1.5}
    - {name: grey}

Arrays are given as lists, or as the name of a .npy file beside the YAML file:

    - complex
    - {name: coils, maps: sensitivities.npy}
    - fourier
    - {name: mask, mask: lines.npy}
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.physics.blur import Blur, Downsample, gaussian_kernel
from unfog.physics.exposure import Gain
from unfog.physics.fourier import Coils, ComplexOf, Fourier, NonUniformFourier
from unfog.physics.linear import Operator
from unfog.physics.operators import BlockAverage, Channels, Grey, Identity, Mask, Weights
from unfog.physics.radon import FanBeam, ParallelBeam
from unfog.physics.slices import ThickSlices

operators: Registry[Operator] = Registry("operator")
operators.register("identity")(Identity)
operators.register("blocks")(BlockAverage)
operators.register("grey")(Grey)
operators.register("channels")(Channels)
operators.register("gain")(Gain)
operators.register("slices")(ThickSlices)
operators.register("complex")(ComplexOf)
operators.register("fourier")(Fourier)

Numbers = Sequence[object] | Tensor  # nested lists, or the array of a file


@operators.register("blur")
def gaussian_blur(deviation: float, dimensions: int = 2) -> Blur:
    """Blur by a Gaussian whose deviation is in pixels; it wraps around at the borders."""
    return Blur(gaussian_kernel(deviation, dimensions))


@operators.register("kernel")
def kernel_blur(values: Numbers) -> Blur:
    """Blur by a kernel of these values, (*space); it wraps around at the borders."""
    return Blur(_tensor(values))


@operators.register("downsample")
def gaussian_downsample(deviation: float, factor: int, dimensions: int = 2) -> Downsample:
    """Down-sampling by ``factor`` after a Gaussian blur.

    Args:
        deviation: Of the Gaussian, in pixels.
        factor: Every so many-th value is kept along each axis.
        dimensions: Axes of space.

    Returns:
        The operator.
    """
    return Downsample(gaussian_kernel(deviation, dimensions), factor)


@operators.register("parallel-beam")
def parallel_beam(angles: Numbers, size: int) -> ParallelBeam:
    """The Radon transform of an image of ``size`` x ``size`` pixels at angles in degrees."""
    return ParallelBeam(_tensor(angles), size)


@operators.register("fan-beam")
def fan_beam(angles: Numbers, size: int, radius: float, detectors: int, opening: float) -> FanBeam:
    """Fan-beam CT: a fan of rays from a source that moves on a circle about a square image.

    Args:
        angles: Of the source, (n,), in degrees.
        size: Width of the image, in pixels.
        radius: Of the circle, in pixels; it lies outside the image.
        detectors: Rays at each angle, at equal angles of the fan, 2 or more.
        opening: Angle that the fan covers, in degrees.

    Returns:
        The operator.
    """
    return FanBeam(_tensor(angles), size, radius, detectors, opening)


@operators.register("mask")
def mask(mask: Numbers) -> Mask:
    """Inpainting: values are measured where ``mask``, (*space) or (channels, *space), is not 0."""
    return Mask((_tensor(mask) != 0)[None])  # one for all images


@operators.register("weights")
def weights(values: Numbers) -> Weights:
    """A diagonal operator: every value times a number, 0 or more."""
    return Weights(_tensor(values))


@operators.register("coils")
def coils(maps: Numbers) -> Coils:
    """Receiver coils of MRI with complex sensitivities (coils, *space), from a file."""
    return Coils(torch.as_tensor(maps))


@operators.register("non-uniform-fourier")
def non_uniform_fourier(points: Numbers, size: Sequence[int]) -> NonUniformFourier:
    """Fourier samples of an image of ``size`` pixels at any points (m, dimensions) of k-space, in
    cycles per pixel.
    """
    return NonUniformFourier(_tensor(points), tuple(size))


def _tensor(values: object) -> Tensor:
    """Nested lists or an array as a float64 tensor; ``InputError`` where they are none."""
    try:
        return torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"An operator takes numbers, in lists of one length, not {values!r}."
        ) from error
