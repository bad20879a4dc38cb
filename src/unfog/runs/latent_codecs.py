"""Codecs with a latent space: a trained autoencoder between the data and what a model works on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.codec import Codec, LatentCodec, codecs
from unfog.core.shapes import expand
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.files.output import write_json
from unfog.files.text import read_text
from unfog.networks.autoencoder import Autoencoder
from unfog.runs.build import build_autoencoder, is_autoencoder
from unfog.runs.config import load_config
from unfog.runs.folder import CONFIG, load_weights, locate, weights_sha256

LATENTS = "latents.json"  # in the folder of an autoencoder's run: mean and deviation by channel
MEASURED = 1024  # samples by which they are measured
BATCH = 16


@codecs.register("autoencoder")
class AutoencoderCodec(LatentCodec):
    """Latents of a trained autoencoder, each channel shifted and scaled to mean 0 and deviation 1
    over its data (Rombach et al. 2022, whose scale is one number, .18215 for Stable Diffusion).

    Args:
        run: The autoencoder's run, by path or name.
        sha256: Of its weights and its latents' figures, as a model trained on them was told; None
            is not checked.

    Raises:
        InputError: The run is missing, is no autoencoder, has not been trained to its end, or has
            changed.
    """

    def __init__(self, run: str, sha256: str | None = None) -> None:
        path = _folder(run)
        config = load_config(path / CONFIG)
        if not is_autoencoder(config):
            raise InputError(
                f"{path.name} is a run of {config.get('system')!r}, no autoencoder; train one: "
                "unfog train autoencoder-kl."
            )
        self.path, self.shape = path, tuple(config["shape"])
        self.config = config
        self.network: Autoencoder = build_autoencoder(config)
        weights = load_weights(path)
        self.network.load_state_dict(weights)
        self.network.eval().requires_grad_(False)
        self.mean, self.std, text = kept_figures(path)
        self.sha256 = hashlib.sha256((weights_sha256(weights) + text).encode()).hexdigest()
        if sha256 is not None and sha256 != self.sha256:
            raise InputError(
                f"The autoencoder {path.name} has changed since a model was trained on its latents "
                "(its SHA-256 differs); restore it, or train the model again."
            )
        self._scale = codecs.build(config["codec"])

    @property
    def scale(self) -> Codec:
        return self._scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        channels, *sides = shape
        if channels != self.shape[0]:
            raise InputError(
                f"The autoencoder {self.path.name} is of {self.shape[0]} channels, and the data "
                f"have {channels}; train one on them."
            )
        self.network.require_divisible(sides)
        return (self.network.latent_channels, *(side // self.network.factor for side in sides))

    def encode(self, x: Tensor) -> Tensor:
        z = self._place(x).encode(self._scale.encode(x))
        return (z - expand(self.mean, z)) / expand(self.std, z)

    def decode(self, x: Tensor) -> Tensor:
        z = x * expand(self.std, x) + expand(self.mean, x)
        return self._scale.decode(self._place(x).decode(z))

    def _place(self, x: Tensor) -> Autoencoder:
        """The network where x is."""
        return self.network.to(x.device)


def _folder(run: str) -> Path:
    try:
        return locate(run)
    except InputError as error:
        raise InputError(
            f"The codec's autoencoder {run!r} is missing; move it back, or give it by --set "
            "codec.run=RUN to a new model."
        ) from error


def kept_figures(path: Path) -> tuple[Tensor, Tensor, str]:
    """Mean and deviation of each latent channel (1, channels), and the text that holds them."""
    if not (path / LATENTS).is_file():
        raise InputError(
            f"The encoder {path.name} has no {LATENTS}, so its training did not end; resume it."
        )
    text = read_text(path / LATENTS)
    figures: dict[str, Any] = json.loads(text)
    mean, std = (torch.tensor([figures[name]]) for name in ("mean", "std"))
    return mean, std, text


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
    config = load_config(path / CONFIG)
    network, scale = build_autoencoder(config), codecs.build(config["codec"])
    network.load_state_dict(load_weights(path))
    network.eval()
    return keep_figures(path, dataset, lambda x: network.encode(scale.encode(x)))


def keep_figures(
    path: Path, dataset: Dataset, encode: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    """Measure what an encoder makes of up to 1024 samples, and keep the figures in its run.

    Args:
        path: The trained run.
        dataset: Its data.
        encode: x in natural units to latents (batch, channels, ...).

    Returns:
        ``mean`` and ``std`` by channel, and the number of samples.
    """
    count = min(MEASURED, len(dataset))
    ids = torch.linspace(0, len(dataset) - 1, count).round().long().tolist()
    z = torch.cat(
        [encode(dataset.batch(ids[start : start + BATCH])["x"]) for start in range(0, count, BATCH)]
    )
    flat = z.transpose(0, 1).flatten(1).double()
    figures = {
        "mean": [round(v, 6) for v in flat.mean(1).tolist()],
        "std": [round(v, 6) for v in flat.std(1).tolist()],
        "samples": count,
    }
    write_json(path / LATENTS, figures, overwrite=True)
    return figures
