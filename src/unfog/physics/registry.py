"""Operators in a file, for ``unfog restore --task custom --operator FILE.yaml``: one, or a list of
them in the order they act.

- {name: blur, deviation: 1.5}
- {name: grey}

Numbers stand in lists, or in a .npy beside the file, by its name:

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

operators: Registry[Operator] = Registry("operator")
operators.register("identity")(Identity)
operators.register("blocks")(BlockAverage)
operators.register("grey")(Grey)
operators.register("channels")(Channels)
operators.register("gain")(Gain)
operators.register("complex")(ComplexOf)
operators.register("fourier")(Fourier)

Numbers = Sequence[object] | Tensor


@operators.register("blur")
def gaussian_blur(deviation: float, dimensions: int = 2) -> Blur:
    """The blur of a Gaussian whose deviation is in pixels; it wraps around at the borders."""
    return Blur(gaussian_kernel(deviation, dimensions))


@operators.register("kernel")
def kernel_blur(values: Numbers) -> Blur:
    """The blur of a kernel given as nested lists."""
    return Blur(_tensor(values))


@operators.register("downsample")
def gaussian_downsample(deviation: float, factor: int, dimensions: int = 2) -> Downsample:
    """Every ``factor``-th value after a Gaussian blur."""
    return Downsample(gaussian_kernel(deviation, dimensions), factor)


@operators.register("parallel-beam")
def parallel_beam(angles: Numbers, size: int) -> ParallelBeam:
    """The Radon transform of a square image at angles in degrees."""
    return ParallelBeam(_tensor(angles), size)


@operators.register("fan-beam")
def fan_beam(angles: Numbers, size: int, radius: float, detectors: int, opening: float) -> FanBeam:
    """Rays from a source on a circle."""
    return FanBeam(_tensor(angles), size, radius, detectors, opening)


@operators.register("mask")
def mask(mask: Numbers) -> Mask:
    """What is measured, not 0, shaped as an image's space or (channels, *space)."""
    return Mask((_tensor(mask) != 0)[None])  # one for all images


@operators.register("weights")
def weights(values: Numbers) -> Weights:
    """Every measured value times a number."""
    return Weights(_tensor(values))


@operators.register("coils")
def coils(maps: Numbers) -> Coils:
    """Complex sensitivities (coils, *space), from a file."""
    return Coils(torch.as_tensor(maps))


@operators.register("non-uniform-fourier")
def non_uniform_fourier(points: Numbers, size: Sequence[int]) -> NonUniformFourier:
    """Points (m, dimensions) of k-space in cycles per pixel."""
    return NonUniformFourier(_tensor(points), tuple(size))


def _tensor(values: object) -> Tensor:
    try:
        return torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"An operator takes numbers, in lists of one length, not {values!r}."
        ) from error
