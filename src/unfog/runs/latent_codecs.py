"""Codecs with a latent space: a trained autoencoder between the data and what a model works on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.codec import Codec, LatentCodec, codecs
from unfog.core.shapes import expand
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.networks.autoencoder import Autoencoder
from unfog.runs.build import build_autoencoder, is_autoencoder
from unfog.runs.encoder_figures import Figures, keep_figures, trained
from unfog.runs.folder import fit_weights, load_weights, locate, run_config


class NetworkCodec(LatentCodec):
    """Latents of an autoencoder, each channel shifted and scaled: (z - mean) / std.

    Args:
        network: The autoencoder, frozen.
        inner: The codec of what it was trained on.
        channels: Of the data.
        figures: Mean and deviation of the latents' channels, (1, channels) each, and the SHA-256
            of them and the network's weights.
        name: What the autoencoder is called in messages.
    """

    def __init__(
        self, network: Autoencoder, inner: Codec, channels: int, figures: Figures, name: str
    ) -> None:
        self.network, self.inner, self.channels, self.name = network, inner, channels, name
        self.mean, self.std, self.sha256 = figures.mean, figures.std, figures.sha256

    @property
    def scale(self) -> Codec:
        return self.inner.scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if shape[0] != self.channels:
            raise InputError(
                f"The autoencoder {self.name} is of {self.channels} channels, and the data "
                f"have {shape[0]}; train one on them."
            )
        _, *sides = self.inner.latent_shape(shape)
        self.network.require_divisible(sides)
        return (self.network.latent_channels, *(side // self.network.factor for side in sides))

    def encode(self, x: Tensor) -> Tensor:
        z = self._place(x).encode(self.inner.encode(x))
        return (z - expand(self.mean, z)) / expand(self.std, z)

    def decode(self, x: Tensor) -> Tensor:
        return self.inner.decode(self.decoded(x))

    def decoded(self, x: Tensor) -> Tensor:
        """What latents decode to on the scale that the autoencoder was trained on."""
        z = x * expand(self.std, x) + expand(self.mean, x)
        return self._place(x).decode(z)

    def _place(self, x: Tensor) -> Autoencoder:
        """The network where x is."""
        return self.network.to(x.device)


@codecs.register("autoencoder")
class AutoencoderCodec(NetworkCodec):
    """Latents of a trained autoencoder, each channel shifted and scaled to mean 0 and deviation 1
    over its data (Rombach et al. 2022, whose scale is one number, .18215 for Stable Diffusion).

    Args:
        run: The autoencoder's run, by path or name.
        sha256: Of its weights and its latents' figures, as a model trained on them was told; None
            is not checked.

    Attributes:
        inner: The codec of what the autoencoder was trained on.

    Raises:
        InputError: The run is missing, is no autoencoder, has not been trained to its end, or has
            changed.
    """

    def __init__(self, run: str, sha256: str | None = None) -> None:
        path = _folder(run)
        config = run_config(path)
        if not is_autoencoder(config):
            raise InputError(
                f"{path.name} is a run of {config.get('system')!r}, no autoencoder; train one: "
                "unfog train autoencoder-kl."
            )
        self.path, self.shape, self.config = path, tuple(config["shape"]), config
        network: Autoencoder = build_autoencoder(config)
        found = trained(network, path, sha256, "The autoencoder", "latents")
        inner = codecs.build(config["codec"])
        super().__init__(network, inner, self.shape[0], found, path.name)


def _folder(run: str) -> Path:
    try:
        return locate(run)
    except InputError as error:
        raise InputError(
            f"The codec's autoencoder {run!r} is missing; move it back, or give it by --set "
            "codec.run=RUN to a new model."
        ) from error


@torch.no_grad()
def measure_latents(path: Path, dataset: Dataset) -> dict[str, Any]:
    """Measure an autoencoder's latents over up to 1024 samples, evenly spaced, and keep mean and
    deviation with the run.

    Args:
        path: The trained run.
        dataset: Its data.

    Returns:
        ``mean`` and ``std`` by channel, and the number of samples.
    """
    config = run_config(path)
    network, scale = build_autoencoder(config), codecs.build(config["codec"])
    fit_weights(network, load_weights(path), path.name)
    network.eval()
    return keep_figures(path, dataset, lambda x: network.encode(scale.encode(x)))
