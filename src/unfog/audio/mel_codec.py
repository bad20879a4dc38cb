"""Spectrograms as what a model works on: a codec from sounds to log-mel spectrograms, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from unfog.audio.griffin_lim import griffin_lim
from unfog.audio.mel import MelScale
from unfog.core.codec import Codec, LatentCodec, Range, codecs
from unfog.runs.latent_codecs import AutoencoderCodec


@codecs.register("mel")
class MelCodec(LatentCodec):
    """Sounds (batch, channels, samples) as log-mel spectrograms (batch, channels, bands, frames)
    from -1 to 1. They are decoded by Griffin and Lim's method, or by a vocoder
    (``audio.inversion``).

    Args:
        rate: Samples a second.
        bands: Mel bands.
        hop: Samples from frame to frame.
        window: Samples of a window.
    """

    def __init__(self, rate: int, bands: int = 80, hop: int = 256, window: int = 1024) -> None:
        self.mel = MelScale(rate, bands, hop, window)
        self.sha256 = hashlib.sha256(repr(self.mel).encode()).hexdigest()

    @property
    def scale(self) -> Codec:
        return Range(-1.0, 1.0)

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (shape[0], self.mel.bands, self.mel.frames(shape[-1]))

    def encode(self, x: Tensor) -> Tensor:
        return 2 * self.mel.log_mel(x) - 1

    def decode(self, x: Tensor) -> Tensor:
        m = (x + 1) / 2
        sounds = griffin_lim(self.mel, m.flatten(0, 1), x.shape[-1] * self.mel.hop)
        return sounds.reshape(*x.shape[:2], -1)


class Spectrograms(Codec):
    """The codec of a model of spectrograms, which decodes no further than to them.

    Args:
        codec: ``MelCodec``, or that of an autoencoder of spectrograms.
        mel: The codec of spectrograms in it.
    """

    def __init__(self, codec: Codec, mel: MelCodec) -> None:
        self.codec, self.mel = codec, mel

    @property
    def scale(self) -> Codec:
        return self.codec.scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.codec.latent_shape(shape)

    def encode(self, x: Tensor) -> Tensor:
        return self.codec.encode(x)

    def decode(self, x: Tensor) -> Tensor:
        """m in [0, 1], (batch, channels, bands, frames)."""
        seen = self.codec.decoded(x) if isinstance(self.codec, AutoencoderCodec) else x
        return ((seen + 1) / 2).clamp(0, 1)


def spectrograms_of(codec: Codec) -> Spectrograms | None:
    """The codec that decodes a run's states to spectrograms; None where they are sounds."""
    inner = codec.inner if isinstance(codec, AutoencoderCodec) else codec
    return Spectrograms(codec, inner) if isinstance(inner, MelCodec) else None
