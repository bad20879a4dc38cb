"""The patch discriminator (Isola et al. 2017), in 1, 2 or 3 dimensions."""

from __future__ import annotations

from torch import Tensor, nn

from unfog.networks.layers.blocks import convolution

SLOPE = 0.2
GROUPS = 8


class PatchDiscriminator(nn.Module):
    """x (batch, channels, *space) to a logit for each of its overlapping patches, (batch, 1,
    *patches): above 0 where it looks real.

    Strided convolutions of side 4, each twice as wide as the one before, up to eight times. The
    normalisation is by groups of channels of one sample, not by batches, so that a sample's verdict
    is its own.

    Args:
        channels: Channels of x.
        dims: Axes of space, 1 to 3.
        width: Channels of the first map.
        levels: Strided convolutions; with three a patch is 70 wide, with two 34.
    """

    def __init__(self, channels: int, dims: int, width: int = 64, levels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            convolution(dims, channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
        size = width
        for level in range(1, levels + 1):
            out, stride = width * min(2**level, 8), 2 if level < levels else 1
            layers += [
                convolution(dims, size, out, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(GROUPS, out),
                nn.LeakyReLU(SLOPE),
            ]
            size = out
        self.layers = nn.Sequential(*layers, convolution(dims, size, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
