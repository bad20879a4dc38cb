"""The condition of a vocoder: a log-mel spectrogram, made of the sound itself in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import leaky_relu

from unfog.audio.mel import MelScale
from unfog.core.conditioning import Condition, Context, conditions
from unfog.errors import InputError

NAME = "mel"
SLOPE = 0.4  # of the leaky rectifier


@conditions.register("mel")
class MelCondition(Condition):
    """A log-mel spectrogram (batch, bands, frames) in [0, 1], brought to the samples' grid by two
    transposed convolutions (Kong et al. 2021; after van den Oord et al. 2016). Of a sound with two
    channels it is that of their mean. Its null is zeros: silence.

    Args:
        rate: Samples a second.
        bands: Mel bands.
        hop: Samples from frame to frame, a square of an even number.
        window: Samples of a window.
    """

    made_of_data = True

    def __init__(self, rate: int, bands: int = 80, hop: int = 256, window: int = 1024) -> None:
        super().__init__()
        self.scale = MelScale(rate, bands, hop, window)
        stride = round(hop**0.5)
        if stride * stride != hop or stride % 2:
            raise InputError(f"The hop of a vocoder is 4, 16, 64, 144 or 256, not {hop}.")
        self.sizes = {"spatial_channels": bands}
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(1, 1, (3, 2 * stride), (1, stride), (1, stride // 2))
            for _ in range(2)
        )

    def derive(self, x: Tensor, generators: Sequence[Generator]) -> tuple[Tensor, Tensor]:
        """The spectrograms of a training batch, and that all of them are there."""
        return self.of(x), torch.ones(len(x), dtype=torch.bool, device=x.device)

    def of(self, x: Tensor) -> Tensor:
        """The spectrograms (batch, bands, frames) of sounds (batch, channels, samples)."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return self.scale.log_mel(x.float().mean(1))

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition."""
        if value is None:
            return self.null(x_t)
        expected = (len(x_t), self.scale.bands, self.scale.frames(x_t.shape[2]))
        if tuple(value.shape) != expected:
            raise InputError(
                f"The spectrogram of sounds of {x_t.shape[2]} samples is {expected}, not "
                f"{tuple(value.shape)}."
            )
        if keep is not None:
            value = value * keep.view(-1, 1, 1).to(value)
        return Context(spatial=self._upsampled(value)[..., : x_t.shape[2]])

    def embed(self, value: Tensor) -> Context:
        return Context(spatial=self._upsampled(value))

    def null(self, x_t: Tensor) -> Context:
        frames = self.scale.frames(x_t.shape[2])
        silence = x_t.new_zeros(len(x_t), self.scale.bands, frames)
        return Context(spatial=self._upsampled(silence)[..., : x_t.shape[2]])

    def _upsampled(self, value: Tensor) -> Tensor:
        """(batch, bands, hop * frames)."""
        h = value[:, None].to(self.up[0].get_parameter("weight"))
        for layer in self.up:
            h = leaky_relu(layer(h), SLOPE)
        return h[:, 0]


@conditions.register("mel-features")
class MelFeatures(MelCondition):
    """A log-mel spectrogram as a few channels on the samples' grid, for networks on patches, whose
    input has a channel for every sample of a patch: the samples from frame k to the next are a
    linear function of both,

        s[:, hop k + j] = A_j m_k + B_j m_(k+1) + b_j.

    Args:
        rate: Samples a second.
        channels: Of s.
        bands: Mel bands.
        hop: Samples from frame to frame.
        window: Samples of a window.
    """

    def __init__(
        self, rate: int, channels: int = 8, bands: int = 80, hop: int = 256, window: int = 1024
    ) -> None:
        super().__init__(rate, bands, hop, window)
        del self.up
        self.sizes = {"spatial_channels": channels}
        self.features = nn.Linear(2 * bands, channels * hop)
        # Of about the deviation of what they stand beside.
        nn.init.normal_(self.features.weight, std=2 / (2 * bands) ** 0.5)

    def _upsampled(self, value: Tensor) -> Tensor:
        """(batch, channels, hop * frames)."""
        following = torch.cat([value[..., 1:], value[..., -1:]], -1)
        pairs = torch.cat([value, following], 1).to(self.features.weight)
        s = self.features(pairs.transpose(1, 2)).unflatten(2, (-1, self.scale.hop))
        out: Tensor = s.transpose(1, 2).flatten(2)
        return out
