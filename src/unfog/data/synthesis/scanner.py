"""What a scanner makes of tissue: coils' shading, thick slices, blur, the range of values."""

from __future__ import annotations

import numpy as np

from unfog.data.synthesis.fields import Array, Random, smooth_field
from unfog.data.synthesis.filters import gaussian


def shading(random: Random, shape: tuple[int, ...], voxel: float) -> Array:
    """A smooth positive field about 1, of receiving coils, (X, Y, Z)."""
    strength = random.uniform(0, 0.35)
    field: Array = np.exp(
        np.float32(strength) * smooth_field(random, shape, random.uniform(40, 90) / voxel)
    )
    return field


def thick_slices(volume: Array, factor: float, axis: int, width: float) -> Array:
    """Slices ``factor`` voxels apart, each a Gaussian average over the voxels about it.

    Args:
        volume: (X, Y, Z).
        factor: Voxels from slice to slice, 1 or more.
        axis: Across the slices.
        width: Full width at half maximum of the slice profile, over the distance of slices.

    Returns:
        The volume with fewer voxels along the axis.
    """
    sigma = width * factor / 2.3548
    thick = gaussian(volume, sigma, 2.5, axis, "nearest")
    # Linear interpolation of what is smooth over a voxel by now.
    at = np.arange(0, volume.shape[axis] - 1, factor)
    low = np.floor(at).astype(int)
    part = np.expand_dims((at - low).astype(np.float32), tuple(k for k in range(3) if k != axis))
    first, second = thick.take(low, axis), thick.take(low + 1, axis)
    return np.asarray(first + part * (second - first), dtype=np.float32)


def receive(random: Random, volume: Array, voxel: float) -> tuple[Array, tuple[float, ...]]:
    """An image of tissue: shaded, blurred a little in half of the cases, in thick slices along any
    axis in a third of them, and scaled to [0, 1].

    Args:
        random: Numbers are drawn from it.
        volume: Grey levels on isotropic voxels, (X, Y, Z).
        voxel: Their side in mm.

    Returns:
        The image, and the sides of its voxels in mm.
    """
    image, sides = volume * shading(random, volume.shape, voxel), [voxel] * 3
    if random.uniform() < 0.5:
        image = gaussian(image, random.uniform(0.2, 0.7), 3.0)
    if random.uniform() < 0.35:
        axis, factor = int(random.integers(3)), random.uniform(1.2, 2.9)
        image = thick_slices(image, factor, axis, random.uniform(0.7, 1.1))
        sides[axis] *= factor
    top = float(np.quantile(image[::2, ::2, ::2], 0.999))
    image = np.clip(image * np.float32(random.uniform(0.55, 1.0) / max(top, 1e-3)), 0, 1)
    return image, tuple(sides)
