"""The weights of a trained encoder, and the figures of what it makes of its data, which are kept
with its run: mean and deviation by channel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import write_json
from unfog.files.text import read_text
from unfog.runs.folder import fit_weights, load_weights, relist, verify_file, weights_sha256

LATENTS = "latents.json"  # in the folder of an autoencoder's run: mean and deviation by channel
MEASURED = 1024  # samples by which they are measured
BATCH = 16


@dataclass(frozen=True)
class Figures:
    """What is known of a trained encoder.

    Args:
        mean: Of what it makes, by channel, (1, channels).
        std: The deviation, likewise.
        sha256: Of its weights and these figures.
    """

    mean: Tensor
    std: Tensor
    sha256: str


def trained(network: nn.Module, path: Path, sha256: str | None, encoder: str, made: str) -> Figures:
    """Load an encoder's weights, frozen, and read its figures.

    Args:
        network: What takes the weights.
        path: Its run.
        sha256: What a model that was trained on what it makes was told; None is not checked.
        encoder: What it is called in a message, such as "The autoencoder".
        made: What it makes, such as "latents".

    Returns:
        The figures.

    Raises:
        InputError: Its training did not end, or it has changed.
    """
    weights = load_weights(path)
    fit_weights(network, weights, path.name)
    network.eval().requires_grad_(False)
    mean, std, text = kept_figures(path)
    found = hashlib.sha256((weights_sha256(weights) + text).encode()).hexdigest()
    if sha256 is not None and sha256 != found:
        raise InputError(
            f"{encoder} {path.name} has changed since a model was trained on its {made} (its "
            "SHA-256 differs); restore it, or train the model again."
        )
    return Figures(mean, std, found)


def kept_figures(path: Path) -> tuple[Tensor, Tensor, str]:
    """Mean and deviation of each latent channel (1, channels), and the text that holds them."""
    if not (path / LATENTS).is_file():
        raise InputError(
            f"The encoder {path.name} has no {LATENTS}, so its training did not end; resume it."
        )
    verify_file(path, LATENTS)
    text = read_text(path / LATENTS)
    figures: dict[str, Any] = json_text.parse(text, LATENTS)
    mean, std = (torch.tensor([figures[name]]) for name in ("mean", "std"))
    return mean, std, text


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
    relist(path)
    return figures
