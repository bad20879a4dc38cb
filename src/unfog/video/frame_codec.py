"""The latent space of clips by an autoencoder of pictures, frame by frame (Blattmann et al. 2023,
arXiv:2304.08818; Xing et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.core.codec import Codec, LatentCodec, codecs
from unfog.errors import InputError
from unfog.runs.latent_codecs import AutoencoderCodec


@codecs.register("frame-autoencoder")
class FrameAutoencoderCodec(LatentCodec):
    """Latents of every frame by a trained autoencoder of pictures: (channels, frames, rows,
    columns) to (latent channels, frames, rows / factor, columns / factor).

    Args:
        run: The autoencoder's run, by path or name.
        sha256: As of `unfog.runs.latent_codecs.AutoencoderCodec`.
    """

    def __init__(self, run: str, sha256: str | None = None) -> None:
        self.pictures = AutoencoderCodec(run, sha256)
        self.sha256 = self.pictures.sha256
        if len(self.pictures.shape) != 3:
            raise InputError(
                f"The autoencoder {self.pictures.path.name} is of samples {self.pictures.shape}, "
                "not of pictures; take the codec autoencoder, or train one on frames."
            )

    @property
    def scale(self) -> Codec:
        return self.pictures.scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if len(shape) != 4:
            raise InputError(
                f"The codec frame-autoencoder is for clips (channels, frames, rows, columns), not "
                f"{tuple(shape)}."
            )
        channels, frames, *sides = shape
        latent, *places = self.pictures.latent_shape((channels, *sides))
        return (latent, frames, *places)

    def encode(self, x: Tensor) -> Tensor:
        return _each_frame(self.pictures.encode, x)

    def decode(self, x: Tensor) -> Tensor:
        return _each_frame(self.pictures.decode, x)


def _each_frame(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of pictures on every frame of clips (batch, channels, frames, rows, columns), one
    frame of the batch after the other.
    """
    return torch.stack([function(frame) for frame in x.unbind(2)], 2)
