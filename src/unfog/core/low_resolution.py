r"""The condition of a picture of low resolution, for upsamplers, with noise-conditioning
augmentation (Ho et al. 2022, arXiv:2106.15282; Saharia et al. 2022; Ramesh et al. 2022).

In training the picture is made of x_0 itself: degraded (``Degradation``: blurred and averaged over
cells, where no other is named), and mixed with noise of a level that the network is told. So the
network learns to trust it just as far as it can be, and
at sampling forgives what the stage below got wrong; there the level is the user's to choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unfog.core.conditioning import Condition, Context, conditions, set_null
from unfog.core.random import Randomness, normal_like
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.errors import InputError

FREQUENCIES = 16  # of the level's sinusoids
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def mixed(picture: Tensor, level: Tensor, randomness: Randomness) -> Tensor:
    """Noise-conditioning augmentation, sqrt(1 - level^2) picture + level n, n ~ N(0, I).

    Args:
        picture: (batch, channels, *grid), on the model's scale.
        level: (batch,), from 0 for the picture to 1 for noise alone.
        randomness: A generator, or one for each sample.

    Returns:
        (batch, channels, *grid).

    Raises:
        InputError: A level is not between 0 and 1.
    """
    if level.numel() and not 0 <= float(level.min()) <= float(level.max()) <= 1:
        raise InputError(
            f"The level of augmentation is between 0 and 1, got {float(level.min()):g} to "
            f"{float(level.max()):g}."
        )
    noise = normal_like(picture, randomness)
    kept = (1 - level.double() ** 2).sqrt()
    return expand(kept, picture) * picture + expand(level, picture) * noise


def reduced(x: Tensor, factor: int, blur: Tensor | None = None) -> Tensor:
    """x averaged over cells of ``factor`` along each axis, blurred before.

    Args:
        x: (batch, channels, *space).
        factor: The side of a cell, which divides every side of x.
        blur: Deviations of a Gaussian blur in points of x, (batch,); None blurs nothing.

    Returns:
        (batch, channels, *space / factor).

    Raises:
        InputError: A side does not divide by the factor.
    """
    if any(side % factor for side in x.shape[2:]):
        raise InputError(
            f"A picture of {' x '.join(map(str, x.shape[2:]))} cannot be reduced by {factor}; take "
            "a factor that divides its sides."
        )
    if blur is not None:
        x = _blurred(x, blur)
    return F.interpolate(x, [side // factor for side in x.shape[2:]], mode="area")


def enlarged(picture: Tensor, space: Sequence[int]) -> Tensor:
    """A picture (batch, channels, *grid) on a finer grid, linearly between the centres of its
    points: (batch, channels, *space).
    """
    return F.interpolate(picture, list(space), mode=_MODES[len(space)], align_corners=False)


def _blurred(x: Tensor, deviation: Tensor) -> Tensor:
    """A Gaussian blur of each sample by its own deviation (batch,), borders repeated."""
    half = max(1, math.ceil(3 * float(deviation.max())))
    place = torch.arange(-half, half + 1, dtype=torch.float64)
    spread = deviation.double().clamp(min=1e-3)[:, None]
    lines = torch.exp(-0.5 * (place / spread) ** 2)
    lines = (lines / lines.sum(1, keepdim=True)).to(x)
    # One axis after the other; the batch stands among the channels, each with its kernel.
    for axis in range(2, x.ndim):
        moved = x.movedim(axis, -1)
        flat = moved.flatten(1, -2)
        padded = F.pad(flat, (half, half), mode="replicate").transpose(0, 1)
        kernels = lines[:, None]
        out = F.conv1d(padded, kernels, groups=len(x)).transpose(0, 1)
        x = out.reshape(moved.shape).movedim(-1, axis)
    return x


class Degradation(Protocol):
    """What makes the small picture of an upsampler's training."""

    def __call__(self, x: Tensor, factor: int, generators: Sequence[torch.Generator], /) -> Tensor:
        """A small picture of each sample, as a function of the sample and its generator.

        Args:
            x: On the model's scale, (batch, channels, *space).
            factor: How many points of x are one of the picture, along each axis.
            generators: One for each sample.

        Returns:
            (batch, channels, *space / factor).
        """
        ...


degradations: Registry[Degradation] = Registry("degradation")


@degradations.register("gaussian-blur")
@dataclass(frozen=True)
class GaussianBlur:
    """A Gaussian blur of a deviation drawn evenly from 0 to ``deviation`` points of x, and the mean
    over cells.
    """

    deviation: float = 0.0

    def __post_init__(self) -> None:
        if self.deviation < 0:
            raise InputError(f"The deviation of a blur is 0 or more, not {self.deviation}.")

    def __call__(self, x: Tensor, factor: int, generators: Sequence[torch.Generator]) -> Tensor:
        """As ``Degradation`` says."""
        drawn = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
        return reduced(x, factor, self.deviation * drawn if self.deviation else None)


@conditions.register("low-resolution")
class LowResolutionCondition(Condition):
    """A picture of low resolution, enlarged onto the grid of x_t and concatenated to it, with one
    channel more, which is 1 where it is present; and the level of the noise in it, which is added
    to the time embedding.

    A value is (batch, channels, *grid), noise of its level in it (``mixed``); NAME_level is that
    level, (batch,), 0 where it is not given. Training makes both of x_0 (``derive``).

    Args:
        channels: Channels of the picture.
        width: The size of the level's embedding.
        factor: How many points of x are one of the picture, along each axis.
        blur: Largest deviation of the blur in training, where no degradation is named.
        level: Largest level of noise in training; each sample's is drawn evenly from 0 on.
        null: ``learned``, or ``zero`` for zeros.
        degradation: What makes the picture in training, by name, such as ``bsr`` for photographs
            (``data.degradations``); ``gaussian-blur`` of ``blur`` by default.
    """

    companion, made_of_data = "level", True
    absent: Tensor
    absent_level: Tensor

    def __init__(
        self,
        channels: int,
        width: int,
        factor: int = 4,
        blur: float = 0.0,
        level: float = 0.5,
        null: str = "zero",
        degradation: str | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if degradation is not None and blur:
            raise InputError(
                "The blur is a part of the degradation where one is named; set an upsampler's blur "
                "to 0, or leave its degradation out."
            )
        if factor < 1 or blur < 0 or not 0 <= level <= 1:
            raise InputError(
                "An upsampler's factor is 1 or more, its blur 0 or more, its level between 0 and "
                f"1; got {factor}, {blur} and {level}."
            )
        self.factor, self.level = factor, level
        self.degrade = degradations.build(
            degradation or {"name": "gaussian-blur", "deviation": blur}
        )
        self.sizes = {"spatial_channels": channels + 1, "vector_width": width}
        self.embedding = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        set_null(self, "absent", channels, null)
        set_null(self, "absent_level", width, null)

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """The values of a training batch: its own pictures x (batch, channels, *space) made worse,
        and the level of each, by a generator a sample.
        """
        drawn = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
        level = (self.level * drawn).float()
        picture = self.degrade(x, self.factor, generators)
        return mixed(picture, level, generators), level.to(x.device)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; in place of a mask comes the level, (batch,)."""
        absent = self.null(x_t)
        if value is None:
            return absent
        level = torch.zeros(len(value), device=value.device) if mask is None else mask
        picture = enlarged(value, x_t.shape[2:])
        present = Context(
            spatial=torch.cat([picture, torch.ones_like(picture[:, :1])], 1),
            vector=self.embedding(self._waves(level)),
        )
        return present if keep is None else self._choose(present, absent, keep)

    def embed(self, value: Tensor) -> Context:
        return self.forward(value, None, value)

    def null(self, x_t: Tensor) -> Context:
        space = x_t.shape[2:]
        value = self.absent.view(1, -1, *(1,) * len(space)).expand(len(x_t), -1, *space)
        spatial = torch.cat([value, torch.zeros_like(value[:, :1])], 1)
        return Context(spatial=spatial, vector=self.absent_level.expand(len(x_t), -1))

    @staticmethod
    def _waves(level: Tensor) -> Tensor:
        """Sines and cosines of a level (batch,) from half a wave up, (batch, 2 frequencies)."""
        octaves = torch.linspace(0, 5, FREQUENCIES, device=level.device)
        angle = torch.pi * level.float()[:, None] * 2**octaves
        return torch.cat([angle.sin(), angle.cos()], 1)
