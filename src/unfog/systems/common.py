"""What the recipes share: the U-Net for a data set's shape, its conditions, and the defaults of
training.
"""

from __future__ import annotations

from typing import Any

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.registry import Config

TRAINING: Config = {
    "steps": 20_000,
    "batch": 64,
    "lr": 2e-4,
    "warmup": 500,
    "decay": "cosine",
    "weight_decay": 0.0,
    "betas": [0.9, 0.999],
    "clip": 1.0,
    "ema": 0.9999,
    "ema_power": None,
    "seed": 0,
    "precision": "auto",
    "checkpoint_every": 500,
}

DROP_EACH = 0.3  # of each class of a mask, and of each of several numbers


def training(**changes: Any) -> Config:
    """The training section of a config: ``TRAINING`` with ``changes``."""
    return {**TRAINING, **changes}


def short_training(**changes: Any) -> Config:
    """The training section of a small model that is trained for minutes: a higher learning rate,
    and the average of the weights over the last 18th of the steps; with ``changes``.
    """
    return training(
        **{
            "lr": 1e-3,
            "warmup": 200,
            "betas": [0.9, 0.99],
            "ema": 0.998,
            "ema_power": 17.0,
            **changes,
        }
    )


def log_normal_denoising(mean: float, std: float) -> Config:
    """The objective section of EDM (Karras et al. 2022): ln sigma ~ N(mean, std^2) in training."""
    return {
        "name": "denoising",
        "times": {"name": "log-normal", "mean": mean, "std": std},
        "weight": {"name": "simple"},
    }


def convolutional_unet(dataset: Dataset, channels: int, **changes: Any) -> Config:
    """The network section of a U-Net without positions and attention, for samples of any size;
    arguments as of ``unet``.
    """
    options = {"multipliers": [1, 2, 2], "blocks": 1, "groups": 8, **changes}
    return unet(dataset, channels, attention_levels=[], middle_attention=False, **options)


def plain_network(dataset: Dataset, channels: int, **changes: Any) -> Config:
    """The network section of a config: a U-Net (``unet``), or of vectors a perceptron.

    Args:
        dataset: The data.
        channels: Of the U-Net's finest map.
        **changes: Other settings of the U-Net.

    Returns:
        The registry config of the network.
    """
    if len(dataset.shape) == 1:
        return {"name": "perceptron", "dims": 0, "width": 128, "depth": 4}
    return unet(dataset, channels, **changes)


def unet(dataset: Dataset, channels: int, **changes: Any) -> Config:
    """The network section of a config: a U-Net of the data's dimension.

    It has up to 4 levels, as many as keep the smallest side, in patches, at 4 or more, with the
    channels times 1, 2, 2, 2, and attention at the lowest level.

    Args:
        dataset: The data set, for the shape (channels, *space) of its samples.
        channels: The channels of the first level.
        changes: Other options of the U-Net, which replace these.

    Returns:
        The registry config of the network.

    Raises:
        InputError: The data are vectors.
    """
    if len(dataset.shape) == 1:
        raise InputError(
            f"The data set {dataset.name!r} holds vectors, and this system's network is for grids; "
            "train dalle2-prior on vectors."
        )
    side = min(dataset.shape[1:]) // changes.get("patch", 1)
    levels = max(1, min(4, side.bit_length() - 2))
    multipliers = [1, 2, 2, 2][:levels]
    defaults = {
        "dims": len(dataset.shape) - 1,
        "channels": channels,
        "multipliers": multipliers,
        "attention_levels": [levels - 1],
    }
    return {"name": "unet", **defaults, **changes}


def conditions(dataset: Dataset, drop: float = 0.1) -> Config:
    """The conditions section of a config: the data set's own, each dropped in training with
    probability ``drop``, for classifier-free guidance (Ho & Salimans 2022); each class of a mask
    and each of several numbers also by itself (``DROP_EACH``), so that any may be given alone.
    """
    return {
        name: {
            **part,
            "drop": drop,
            **({"drop_each": DROP_EACH} if part["name"] in ("mask", "numbers") else {}),
        }
        for name, part in dataset.conditions.items()
    }
