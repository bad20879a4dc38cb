"""The data set ``random-field``: Gaussian random fields on a periodic square."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.random import generators
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError

COUNTS = {"train": 4096, "validation": 256, "test": 256}
CODEC = {"name": "range", "low": -2.0, "high": 2.0}  # two standard deviations


def wavenumbers(size: int) -> Tensor:
    """The wavenumbers |k| of the discrete Fourier transform of a square, (size, size), float64."""
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    return torch.hypot(k[:, None], k[None])


def power_law(size: int, slope: float) -> Tensor:
    """The power-law spectrum P(k) ~ |k|^-slope for |k| >= 1, P(0) = 0, (size, size): the variance
    of each Fourier mode. Its sum, the variance of a value, is 1.
    """
    if size < 4 or not slope >= 0:
        raise InputError(
            f"A random field has 4 values or more a side and a slope of 0 or more, got {size} "
            f"and {slope}."
        )
    k = wavenumbers(size)
    power = torch.where(k > 0, k.clamp(min=1) ** -slope, 0.0)
    return power / power.sum()


def coloured(white: Tensor, power: Tensor) -> Tensor:
    """Gaussian fields of the spectrum ``power`` (size, size), by filtering white noise (..., size,
    size) in Fourier space; real, and shaped as the noise.
    """
    amplitude = (power * power.numel()).sqrt().to(white.dtype)
    filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(white) * amplitude).real
    return filtered


@datasets.register("random-field")
class RandomField(ArrayDataset):
    """Gaussian random fields (1, size, size) of a power-law spectrum, mean 0 and variance 1.

        x = sum_k sqrt(P(k)) z_k exp(i k . r),     P(k) ~ |k|^-slope for |k| >= 1,     P(0) = 0,

    z white. Their posterior given sensors is known in closed form (``evaluation.kriging``), and so
    is their denoiser (``core.oracle.StationaryDenoiser``) by their spectrum ``power`` (size, size).
    Sample i of a split is a function of (seed, split, i) alone.

    Args:
        split: ``train`` (4096 fields), ``validation`` or ``test`` (256 each).
        size: The points a side.
        slope: The exponent of the spectrum, 0 or more.
        seed: The seed of all fields.
    """

    def __init__(
        self, split: str = "train", size: int = 64, slope: float = 3.0, seed: int = 0
    ) -> None:
        choose("The split of random-field", split, tuple(COUNTS))
        self.power = power_law(size, slope)
        white = torch.stack(
            [
                torch.randn(1, size, size, generator=g)
                for g in generators(seed, range(COUNTS[split]), f"field-{split}")
            ]
        )
        options = {"split": split, "size": size, "slope": slope, "seed": seed}
        super().__init__("random-field", coloured(white, self.power), CODEC, options=options)
