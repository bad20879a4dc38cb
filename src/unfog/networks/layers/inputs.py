"""What a network does to its input ahead of its first layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.networks.layers.detail import Detail
from unfog.networks.layers.patches import pad_to_multiple, positions, unshuffle


class InputFeatures(nn.Module):
    """The channels that the first layer of a network sees, made of x, its noise label and the
    context: no weights are learned here.

        concatenate [x, detail of x, context.spatial],   patches into channels,
        concatenate the positions.

    ``channels`` is how many they are.

    Args:
        in_channels: channels of x.
        dims: spatial axes of x, 1 to 3.
        spatial_channels: channels of ``context.spatial``; 0 where it is None.
        detail: the data's standard deviation, one number or one a channel, for a `Detail` of x;
            None leaves it out.
        patch: side of the patches moved into channels, in pixels; x is padded with zeros to a
            multiple of it. 1 leaves pixels where they are.
        coordinates: whether the position along each axis is a channel.
        octaves: sines and cosines of each position at so many octaves.
    """

    def __init__(
        self,
        in_channels: int,
        dims: int,
        *,
        spatial_channels: int = 0,
        detail: float | Sequence[float] | None = None,
        patch: int = 1,
        coordinates: bool = False,
        octaves: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.coordinates, self.octaves = patch, coordinates, octaves
        self.spatial_channels, self.dims = spatial_channels, dims
        self.detail = None if detail is None else Detail(detail, dims)  # its buffer is not saved
        images = in_channels * (1 if detail is None else 2) + spatial_channels
        self.channels = images * patch**dims + dims * (1 + 2 * octaves) * coordinates

    def widened(self, weight: Tensor, before: InputFeatures) -> Tensor:
        """The weights (out, channels, ...) of a first layer behind ``before``, which has fewer
        spatial channels, for one behind these features: zero for the new channels, so that the
        network is the same function until it learns.
        """
        added = (self.spatial_channels - before.spatial_channels) * self.patch**self.dims
        images = before.channels - self.dims * (1 + 2 * self.octaves) * self.coordinates
        new = weight.new_zeros(len(weight), added, *weight.shape[2:])
        return torch.cat([weight[:, :images], new, weight[:, images:]], 1)

    def forward(self, x: Tensor, label: Tensor, context: Context) -> Tensor:
        """x (batch, in_channels, *space), label (batch,) to (batch, channels, *space / patch)."""
        # Images on the grid of x.
        if self.detail is not None:
            x = torch.cat([x, self.detail(x, label)], 1)
        if context.spatial is not None:
            x = torch.cat([x, context.spatial.to(x.dtype)], 1)
        # Patches into channels (pixel unshuffle).
        if self.patch > 1:
            x = unshuffle(pad_to_multiple(x, self.patch), self.patch)
        # Positions on the grid of the patches.
        if self.coordinates:
            place = positions(x.shape[2:], x, self.octaves)
            x = torch.cat([x, place.expand(x.shape[0], -1, *x.shape[2:])], 1)
        return x
