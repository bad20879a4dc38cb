"""How well a codec with a latent space gives its data back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.codec import LatentCodec, codecs
from unfog.data.dataset import Dataset
from unfog.evaluation.images import psnr
from unfog.evaluation.spectrum import radial_spectrum
from unfog.runs.latent_codecs import AutoencoderCodec

BATCH, BANDS = 16, 4


@dataclass(frozen=True)
class Reconstructions:
    """Samples of a data set and what their latents decode to, in natural units.

    Args:
        x: (n, channels, *space).
        again: Their reconstructions.
        latents: Their latents, (n, latent channels, *space).
        span: The largest less the smallest value of the data's scale.
    """

    x: Tensor
    again: Tensor
    latents: Tensor
    span: float

    def spectra(self) -> tuple[Tensor, Tensor]:
        """The mean radial spectra of the data and of the reconstructions, (k,), in the middle cube
        of the shortest side.
        """
        return _spectrum(self.x), _spectrum(self.again)

    def figures(self) -> Mapping[str, Any]:
        """PSNR, the power that is kept by quarters of the frequencies, the lowest first, and the
        latents' mean and deviation by channel.
        """
        before, after = self.spectra()
        kept = [
            round(float(a.sum() / b.sum()), 4)
            for a, b in zip(after.chunk(BANDS), before.chunk(BANDS), strict=True)
        ]
        flat = self.latents.transpose(0, 1).flatten(1)
        return {
            "samples": len(self.x),
            "psnr": round(float(psnr(self.again, self.x, value_range=self.span).mean()), 3),
            "power kept": kept,
            "latent mean": [round(v, 4) for v in flat.mean(1).tolist()],
            "latent deviation": [round(v, 4) for v in flat.std(1).tolist()],
        }


@torch.no_grad()
def reconstruct(codec: LatentCodec, dataset: Dataset, count: int = 128) -> Reconstructions:
    """Encode and decode samples of a data set, evenly spaced.

    Args:
        codec: The codec.
        dataset: The data.
        count: How many at most.

    Returns:
        The samples and their reconstructions.
    """
    ids = torch.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().long().tolist()
    parts = []
    for start in range(0, len(ids), BATCH):
        x = dataset.batch(ids[start : start + BATCH])["x"]
        z = codec.encode(x)
        parts.append((*_compared(codec, x, z), z))
    x, again, z = (torch.cat(part) for part in zip(*parts, strict=True))
    scale = codecs.build("identity") if _spectral(codec) else codec.scale
    low, high = (float(scale.decode(torch.tensor(end))) for end in (-1.0, 1.0))
    return Reconstructions(x, again, z, high - low)


def _spectral(codec: LatentCodec) -> bool:
    """Whether an autoencoder is one of spectrograms, which are compared in place of sounds."""
    return isinstance(codec, AutoencoderCodec) and not codec.inner.affine


def _compared(codec: LatentCodec, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """What went in and what came out: in natural units, or as spectrograms."""
    if isinstance(codec, AutoencoderCodec) and not codec.inner.affine:
        return codec.inner.encode(x), codec.decoded(z)
    return x, codec.decode(z)


def _spectrum(x: Tensor) -> Tensor:
    side = min(x.shape[2:])
    for axis, size in enumerate(x.shape[2:], 2):
        x = x.narrow(axis, (size - side) // 2, side)
    return radial_spectrum(x).mean(0)
