"""The latents of a pretrained tiny autoencoder of pictures, opened by the path of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unfog.core.codec import Codec, LatentCodec, Range, codecs
from unfog.errors import InputError
from unfog.networks.autoencoder.tiny import tiny_decoder, tiny_encoder
from unfog.runs.folder import weights_sha256

FACTOR = 8
FIRST = "1.weight"  # of the decoder
PARTS = ("encoder", "decoder")


@codecs.register("taesd")
class TinyCodec(LatentCodec):
    """A pretrained tiny autoencoder (TAESD for Stable Diffusion's latents, TAEF2 for FLUX.2's):
    latents 8 times smaller, of about deviation 1 as they are.

    Args:
        path: A folder with ``encoder.safetensors`` and ``decoder.safetensors``, as they are
            published.
        low: The smallest value of the data.
        high: The largest value of the data.
        channels: Of the data: 3, or 1, which is shown to it as grey.
        sha256: Of the weights, as a model trained on the latents was told; None is not checked.

    Raises:
        InputError: The weights are missing or of another architecture, or have changed.
    """

    def __init__(
        self,
        path: str,
        low: float = 0.0,
        high: float = 1.0,
        channels: int = 3,
        sha256: str | None = None,
    ) -> None:
        if channels not in (1, 3):
            raise InputError(
                f"A tiny autoencoder is of pictures in 1 or 3 channels, not {channels}."
            )
        encoder, decoder = (_read(Path(path) / f"{part}.safetensors") for part in PARTS)
        self.path, self.channels, self._scale = Path(path), channels, Range(low, high)
        pooled = any(".pool." in name for name in decoder)
        self.latent_channels = decoder[FIRST].shape[1] if FIRST in decoder else 4
        self.encoder = _loaded(tiny_encoder(self.latent_channels, pooled), encoder, path)
        self.decoder = _loaded(tiny_decoder(self.latent_channels, pooled), decoder, path)
        named = {f"encoder.{k}": v for k, v in encoder.items()}
        self.sha256 = weights_sha256({**named, **{f"decoder.{k}": v for k, v in decoder.items()}})
        if sha256 is not None and sha256 != self.sha256:
            raise InputError(
                f"The weights in {path} have changed since a model was trained on their latents "
                "(their SHA-256 differs); restore them, or train the model again."
            )

    @property
    def scale(self) -> Codec:
        return self._scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if len(shape) != 3 or shape[0] != self.channels or any(side % FACTOR for side in shape[1:]):
            raise InputError(
                f"The tiny autoencoder takes pictures of {self.channels} channels whose sides "
                f"divide by {FACTOR}, not {tuple(shape)}; crop or resample the data."
            )
        return (self.latent_channels, *(side // FACTOR for side in shape[1:]))

    def encode(self, x: Tensor) -> Tensor:
        picture = (self._scale.encode(x) + 1) / 2
        z: Tensor = self.encoder.to(x.device)(picture.expand(-1, 3, -1, -1))
        return z

    def decode(self, x: Tensor) -> Tensor:
        picture = self.decoder.to(x.device)(x)
        if self.channels == 1:
            picture = picture.mean(1, keepdim=True)
        return self._scale.decode(2 * picture - 1)


def _read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, in float32."""
    if not path.is_file():
        raise InputError(
            f"{path} is missing; give the folder of a tiny autoencoder's encoder.safetensors and "
            "decoder.safetensors by --set codec.path=DIR."
        )
    try:
        weights = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or no safetensors file; fetch it again.") from error
    return {name: value.float() for name, value in weights.items()}


def _loaded(network: nn.Sequential, weights: Mapping[str, Tensor], path: str) -> nn.Sequential:
    """The network with the weights, frozen."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"The weights in {path} are not those of a tiny autoencoder with latents 8 times "
            "smaller; give TAESD's or TAEF2's."
        ) from error
    return network.eval().requires_grad_(False)
