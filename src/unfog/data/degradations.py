r"""Degradations of pictures for upsamplers, composed of parts that are drawn anew for each sample.

``bsr`` is the practical degradation of Zhang et al. 2021 (BSRGAN, arXiv:2103.14006): two blurs, a
reduction, noise, compression and a camera's noise in random order, and compression once more.
DALL-E 2 trains its second upsampler on it (Ramesh et al. 2022, section 2.2). Parts work on one
picture (channels, rows, columns) on the model's scale, where black is -1 and white is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from unfog.core.low_resolution import degradations
from unfog.errors import InputError
from unfog.files.pictures import through_jpeg

HALF = 10  # of a blur's kernel, which has 21 x 21 points
WAYS = ("nearest-exact", "area", "bilinear", "bicubic")  # of reducing a picture
GAMMA = 2.2  # of a display: light is value^GAMMA
Part = Callable[[Tensor, Generator], Tensor]


def gaussian_kernel(covariance: Tensor, half: int = HALF) -> Tensor:
    """A Gaussian of a covariance (2, 2), in pixels down and across, on a grid of 2 half + 1 points
    a side: (side, side), of sum 1.
    """
    line = torch.arange(-half, half + 1, dtype=torch.float64)
    place = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    inverse = torch.linalg.inv(covariance.double())
    kernel = torch.exp(-0.5 * torch.einsum("ijk,kl,ijl->ij", place, inverse, place))
    return kernel / kernel.sum()


def blurred(x: Tensor, covariance: Tensor) -> Tensor:
    """x (channels, rows, columns) blurred by a Gaussian of a covariance, borders repeated."""
    kernel = gaussian_kernel(covariance).to(x)
    padded = F.pad(x[:, None], (HALF,) * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None])[:, 0]


def isotropic(largest: float, randomness: Generator) -> Tensor:
    """The covariance of a round blur, its deviation drawn from .1 to ``largest`` pixels: (2, 2)."""
    return torch.eye(2, dtype=torch.float64) * _even(0.1, largest, randomness) ** 2


def anisotropic(largest: float, randomness: Generator) -> Tensor:
    """The covariance of an oblong blur at any angle, its eigenvalues drawn from .5 to ``largest``
    square pixels: (2, 2).
    """
    angle = _even(0, math.pi, randomness)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    sizes = [_even(0.5, largest, randomness) for _ in range(2)]
    return turn @ torch.diag(torch.tensor(sizes, dtype=torch.float64)) @ turn.T


def shrunk(x: Tensor, size: Sequence[int], way: str) -> Tensor:
    """x (channels, rows, columns) on a grid of ``size``, by one of ``WAYS``."""
    corners = {"align_corners": False} if way in ("bilinear", "bicubic") else {}
    return F.interpolate(x[None], list(size), mode=way, **corners)[0]


def mixing(channels: int, randomness: Generator) -> Tensor:
    """How white noise is mixed into noise of channels, (channels, channels), each row of length 1:
    alike in all (2 of 5 draws), independent (2 of 5), or correlated at random.
    """
    kind = int(torch.randint(5, (), generator=randomness))
    if kind < 2:
        alike = torch.zeros(channels, channels)
        alike[:, 0] = 1
        return alike
    if kind < 4:
        return torch.eye(channels)
    rows = torch.randn(channels, channels, generator=randomness)
    lengths: Tensor = rows.square().sum(1, keepdim=True).sqrt()
    return rows / lengths


def noised(x: Tensor, deviation: float, mix: Tensor, randomness: Generator) -> Tensor:
    """x with Gaussian noise of a deviation, mixed among the channels by ``mix``."""
    noise = torch.randn(x.shape, generator=randomness)
    return x + deviation * torch.einsum("cd,dij->cij", mix, noise)


def photographed(x: Tensor, shot: float, read: float, randomness: Generator) -> Tensor:
    """x with a camera's noise: in light, of variance shot light + read^2 (Brooks et al. 2019,
    arXiv:1811.11127, without its mosaic and its matrices of colour).
    """
    light = ((x + 1) / 2).clamp(0, 1) ** GAMMA
    noise = torch.randn(x.shape, generator=randomness)
    seen = light + (shot * light + read**2).sqrt() * noise
    values: Tensor = seen.clamp(0, 1) ** (1 / GAMMA)
    return 2 * values - 1


def compressed(x: Tensor, quality: int) -> Tensor:
    """x of one or three channels through JPEG of a quality from 1 to 95; 8 bits are left."""
    levels = (127.5 * (x.clamp(-1, 1) + 1)).round().to(torch.uint8).numpy()
    pixels = levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1)
    back = torch.from_numpy(through_jpeg(np.ascontiguousarray(pixels), quality)).float() / 127.5 - 1
    return back[None] if back.ndim == 2 else back.movedim(-1, 0)


def _even(low: float, high: float, randomness: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=randomness, dtype=torch.float64))


@degradations.register("bsr")
@dataclass(frozen=True)
class BSR:
    """The degradation of BSRGAN. Of every sample the order is drawn, and in it: a round blur, an
    oblong one, a reduction by one of ``WAYS``, Gaussian noise, JPEG with probability .75 and a
    camera's noise with .25; JPEG comes last once more.

    Departures: the reduction is never done in two steps, and a camera's noise has no mosaic.

    Args:
        noise: Largest deviation of the Gaussian noise, in grey levels of 255.
        quality: Least quality of JPEG; the best is 95.
    """

    noise: float = 25.0
    quality: int = 30

    def __post_init__(self) -> None:
        if self.noise < 1 or not 1 <= self.quality <= 95:
            raise InputError(
                "The noise of bsr is 1 grey level or more and its quality from 1 to 95, not "
                f"{self.noise} and {self.quality}."
            )

    def __call__(self, x: Tensor, factor: int, generators: Sequence[Generator]) -> Tensor:
        """Small pictures (batch, channels, rows / factor, columns / factor) of pictures x on the
        model's scale, each a function of its generator.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise InputError(
                "The degradation 'bsr' is for pictures of one or three channels, not for samples "
                f"{tuple(x.shape[1:])}; take gaussian-blur."
            )
        size = [side // factor for side in x.shape[2:]]
        made = [
            self._one(picture, size, factor, g)
            for picture, g in zip(x.detach().float().cpu(), generators, strict=True)
        ]
        return torch.stack(made).to(x)

    def _one(self, x: Tensor, size: list[int], factor: int, randomness: Generator) -> Tensor:
        """One picture through all parts in an order of its own."""
        parts: list[Part] = [
            lambda x, g: blurred(x, isotropic(2 + 0.2 * factor, g)),
            lambda x, g: blurred(x, anisotropic(4.0 + factor, g)),
            partial(_reduced, size=size),
            self._noised,
            self._sometimes_compressed,
            _sometimes_photographed,
        ]
        for place in torch.randperm(len(parts), generator=randomness).tolist():
            x = parts[place](x, randomness)
        return self._compressed(x, randomness)

    def _noised(self, x: Tensor, randomness: Generator) -> Tensor:
        deviation = _even(1, self.noise, randomness) * 2 / 255
        return noised(x, deviation, mixing(len(x), randomness), randomness)

    def _sometimes_compressed(self, x: Tensor, randomness: Generator) -> Tensor:
        return self._compressed(x, randomness) if _even(0, 1, randomness) < 0.75 else x

    def _compressed(self, x: Tensor, randomness: Generator) -> Tensor:
        return compressed(x, int(torch.randint(self.quality, 96, (), generator=randomness)))


def _reduced(x: Tensor, randomness: Generator, size: list[int]) -> Tensor:
    return shrunk(x, size, WAYS[int(torch.randint(len(WAYS), (), generator=randomness))])


def _sometimes_photographed(x: Tensor, randomness: Generator) -> Tensor:
    """Noise of a camera, of a level that is drawn, in a quarter of the draws."""
    if _even(0, 1, randomness) >= 0.25:
        return x
    # Brooks et al.'s law of the two levels: the logarithm of the first is even.
    log_shot = _even(math.log(1e-4), math.log(0.012), randomness)
    return photographed(x, math.exp(log_shot), math.exp((2.18 * log_shot + 1.2) / 2), randomness)
