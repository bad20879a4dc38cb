r"""The residual blocks of a U-Net, and the steps between its levels, in 1, 2 or 3 dimensions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate, pad, silu

from unfog.core.conditioning import Context
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.networks.layers.normalisation import GroupNorm

modulations: Registry[nn.Module] = Registry("modulation")


class Conv3d(nn.Conv3d):
    """torch's convolution, in float32 on a processor where a map is narrower than the kernel: the
    bfloat16 gradients of its weights are wrong there, some not finite (oneDNN 3.12, with
    instructions for bfloat16).
    """

    def forward(self, input: Tensor) -> Tensor:
        wide = all(n >= k for n, k in zip(input.shape[2:], self.kernel_size, strict=True))
        if wide or input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float()).to(input.dtype)


_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: Conv3d,
}


def convolution(
    dims: int, in_channels: int, out_channels: int, size: int = 3, **options: Any
) -> nn.Module:
    """A convolution in ``dims`` dimensions that keeps the size, unless ``options`` say
    otherwise.

    Args:
        dims: spatial axes, 1 to 3.
        in_channels: channels of its input.
        out_channels: channels of its output.
        size: side of the kernel, odd.
        options: of torch's convolution, such as ``stride``.

    Returns:
        The module.

    Raises:
        InputError: for other ``dims``.
    """
    if dims not in _CONVOLUTIONS:
        raise InputError(f"A network has dims 1, 2 or 3, not {dims}.")
    return _CONVOLUTIONS[dims](in_channels, out_channels, size, **{"padding": size // 2, **options})


class ResidualBlock(nn.Module):
    """A residual block (He et al. 2016), x (batch, in_channels, *space) and embedding e (batch,
    width) to (batch, out_channels, *space):

        h = conv(silu(norm(x))),    out = skip(x) + conv(silu(modulate(h, e))).

    How the embedding enters is the subclass's: ``AddBlock`` or ``ScaleShiftBlock``.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; where they differ the skip is a 1 x 1 convolution.
        width: width of the embedding.
        dims: spatial axes, 1 to 3.
        groups: groups of the normalisation; they divide both channels.
        eps: added to the variance there.
        dropout: share of values dropped ahead of the second convolution.
    """

    signals: int  # numbers a channel taken from the embedding

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
        """norm(h) with the embedding let in, (batch, channels, *space), by the signal (batch,
        signals * channels) projected from it.
        """

    def forward(
        self, x: Tensor, e: Tensor, resample: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The block; ``resample`` changes the map's size, ahead of the first convolution and in the
        skip.
        """
        h = silu(self.norm1(x))
        if resample is not None:
            h, x = resample(h), resample(x)
        h = self.conv1(h)
        h = self.conv2(self.dropout(silu(self.modulate(h, self.project(e)))))
        out: Tensor = self.skip(x) + h
        return out


@modulations.register("add")
class AddBlock(ResidualBlock):
    """norm(h + e): the embedding is added to each channel, as in DDPM (Ho et al. 2020)."""

    signals = 1

    def modulate(self, h: Tensor, signal: Tensor) -> Tensor:
        out: Tensor = self.norm2(h + signal.view(*signal.shape, *(1,) * (h.ndim - 2)))
        return out


@modulations.register("scale-shift")
class ScaleShiftBlock(ResidualBlock):
    """(1 + scale(e)) norm(h) + shift(e): adaptive group normalisation, as in ADM (Dhariwal &
    Nichol 2021).
    """

    signals = 2

    def modulate(self, h: Tensor, signal: Tensor) -> Tensor:
        scale, shift = signal.chunk(2, 1)
        return self.norm2.modulated(h, scale, shift)


class Stage(nn.Module):
    """A residual block, then attentions in turn: one step of a level."""

    def __init__(self, block: nn.Module, attentions: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.block, self.attentions = block, nn.ModuleList(attentions)

    def forward(self, x: Tensor, e: Tensor, context: Context) -> Tensor:
        x = self.block(x, e)
        for attention in self.attentions:
            x = attention(x, context)
        return x


class Downsample(nn.Module):
    """Half the size, by a convolution of stride 2.

    Args:
        channels: channels of the map.
        dims: spatial axes, 1 to 3.
        padding: 1 pads each axis by one on either side, 0 by one after it and none before, as
            DDPM's authors pad.
    """

    def __init__(self, channels: int, dims: int, padding: int = 1) -> None:
        super().__init__()
        if padding not in (0, 1):
            raise InputError(f"A downsampling padding is 0 or 1, not {padding}.")
        self.extra = (0, 1 - padding) * dims
        self.conv = convolution(dims, channels, channels, stride=2, padding=padding)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """The smaller map; the embedding has no part in it."""
        out: Tensor = self.conv(pad(x, self.extra) if any(self.extra) else x)
        return out


class Upsample(nn.Module):
    """Nearest-neighbour interpolation to a given size, then a convolution."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.conv = convolution(dims, channels, channels)

    def forward(self, x: Tensor, size: Sequence[int], e: Tensor | None = None) -> Tensor:
        """The larger map; the embedding has no part in it."""
        out: Tensor = self.conv(interpolate(x, size=list(size), mode="nearest"))
        return out


class DownsampleBlock(nn.Module):
    """Half the size, by the mean of 2 x 2 points within a residual block (Dhariwal & Nichol
    2021).
    """

    def __init__(self, block: nn.Module, dims: int) -> None:
        super().__init__()
        self.block, self.pool = block, (avg_pool1d, avg_pool2d, avg_pool3d)[dims - 1]

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        out: Tensor = self.block(x, e, lambda h: self.pool(h, 2))
        return out


class UpsampleBlock(nn.Module):
    """Nearest-neighbour interpolation to a given size within a residual block (Dhariwal & Nichol
    2021).
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, size: Sequence[int], e: Tensor) -> Tensor:
        out: Tensor = self.block(x, e, lambda h: interpolate(h, size=list(size), mode="nearest"))
        return out


class Descent(nn.Module):
    """One level on the way down: its residual blocks, and the downsampling to the next level.

    `unfog.networks.unet.UNet.forward` runs them, and keeps every map for the way up. The lowest
    level has no downsampling.
    """

    def __init__(self, stages: Sequence[nn.Module], down: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.down = nn.ModuleList(stages), down


class Ascent(nn.Module):
    """One level on the way up: its residual blocks, and the upsampling to the next level.

    `unfog.networks.unet.UNet.forward` runs them, each on the map so far and one of the way down,
    concatenated. The top level has no upsampling.
    """

    def __init__(self, stages: Sequence[nn.Module], up: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.up = nn.ModuleList(stages), up
