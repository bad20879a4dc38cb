r"""The residual blocks of a U-Net, and the steps between its levels, in 1, 2 or 3 dimensions.

    h = conv(silu(norm(x))),    out = skip(x) + conv(silu(modulate(h, e)))

where the embedding e enters either as ``add``, norm(h + e) (Ho et al. 2020), or as ``scale-shift``,
(1 + scale(e)) norm(h) + shift(e) (Dhariwal & Nichol 2021).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, silu

from unfog.core.conditioning import Context
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.networks.layers.normalisation import GroupNorm

modulations: Registry[nn.Module] = Registry("modulation")

_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}


def convolution(
    dims: int, in_channels: int, out_channels: int, size: int = 3, **options: Any
) -> nn.Module:
    """A convolution in ``dims`` dimensions that keeps the size, unless ``options`` say
    otherwise.
    """
    if dims not in _CONVOLUTIONS:
        raise InputError(f"A network has dims 1, 2 or 3, not {dims}.")
    return _CONVOLUTIONS[dims](in_channels, out_channels, size, **{"padding": size // 2, **options})


class ResidualBlock(nn.Module):
    """x (batch, in_channels, *space), e (batch, width) -> (batch, out_channels, *space)."""

    signals: int  # numbers per channel taken from the embedding

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        dims: int,
        groups: int = 32,
        eps: float = 1e-6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = convolution(dims, in_channels, out_channels)
        self.project = nn.Linear(width, self.signals * out_channels)
        self.norm2 = GroupNorm(groups, out_channels, eps)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = convolution(dims, out_channels, out_channels)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else convolution(dims, in_channels, out_channels, 1)
        )

    @abstractmethod
    def modulate(self, h: Tensor, signal: Tensor) -> Tensor:
        """Normalise h and let the signal (batch, signals * channels) in."""

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        h = self.conv2(self.dropout(silu(self.modulate(h, self.project(e)))))
        out: Tensor = self.skip(x) + h
        return out


@modulations.register("add")
class AddBlock(ResidualBlock):
    """norm(h + e): DDPM."""

    signals = 1

    def modulate(self, h: Tensor, signal: Tensor) -> Tensor:
        out: Tensor = self.norm2(h + signal.view(*signal.shape, *(1,) * (h.ndim - 2)))
        return out


@modulations.register("scale-shift")
class ScaleShiftBlock(ResidualBlock):
    """(1 + scale) norm(h) + shift: ADM."""

    signals = 2

    def modulate(self, h: Tensor, signal: Tensor) -> Tensor:
        scale, shift = signal.chunk(2, 1)
        return self.norm2.modulated(h, scale, shift)


class Stage(nn.Module):
    """A residual block, then attentions in turn."""

    def __init__(self, block: nn.Module, attentions: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.block, self.attentions = block, nn.ModuleList(attentions)

    def forward(self, x: Tensor, e: Tensor, context: Context) -> Tensor:
        x = self.block(x, e)
        for attention in self.attentions:
            x = attention(x, context)
        return x


class Downsample(nn.Module):
    """Half the size by a strided convolution; ``padding`` 1, or 0 for one row after each axis and
    none before, as DDPM's authors pad.
    """

    def __init__(self, channels: int, dims: int, padding: int = 1) -> None:
        super().__init__()
        if padding not in (0, 1):
            raise InputError(f"A downsampling padding is 0 or 1, not {padding}.")
        self.extra = (0, 1 - padding) * dims
        self.conv = convolution(dims, channels, channels, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(pad(x, self.extra) if any(self.extra) else x)
        return out


class Upsample(nn.Module):
    """Nearest neighbours to the given size, then a convolution."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.conv = convolution(dims, channels, channels)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        out: Tensor = self.conv(interpolate(x, size=list(size), mode="nearest"))
        return out


class Descent(nn.Module):
    """One level on the way down: its residual blocks, and the downsampling to the next level.

    `unfog.networks.unet.UNet.forward` runs them, and keeps every map for the way up. The lowest
    level has no downsampling.
    """

    def __init__(self, stages: Sequence[Stage], down: Downsample | None) -> None:
        super().__init__()
        self.stages, self.down = nn.ModuleList(stages), down


class Ascent(nn.Module):
    """One level on the way up: its residual blocks, and the upsampling to the next level.

    `unfog.networks.unet.UNet.forward` runs them, each on the map so far and one of the way down,
    concatenated. The top level has no upsampling.
    """

    def __init__(self, stages: Sequence[Stage], up: Upsample | None) -> None:
        super().__init__()
        self.stages, self.up = nn.ModuleList(stages), up
