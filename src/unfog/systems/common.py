"""What recipes share: sensible networks for a shape, and the training section with its defaults."""

from __future__ import annotations

from typing import Any

from unfog.data.dataset import Dataset
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
    "precision": "bf16",
    "checkpoint_every": 500,
}


def training(**changes: Any) -> Config:
    """The training section with ``changes``."""
    return {**TRAINING, **changes}


def unet(dataset: Dataset, channels: int, **changes: Any) -> Config:
    """A U-Net for the data's dimension, with as many levels as its smallest side bears and
    attention at the lowest.
    """
    levels = max(1, min(4, min(dataset.shape[1:]).bit_length() - 2))
    multipliers = [1, 2, 2, 2][:levels]
    defaults = {
        "dims": len(dataset.shape) - 1,
        "channels": channels,
        "multipliers": multipliers,
        "attention_levels": [levels - 1],
    }
    return {"name": "unet", **defaults, **changes}


def conditions(dataset: Dataset, drop: float = 0.1) -> Config:
    """The data's own conditions, each dropped in training with probability ``drop``, so that
    guidance has its null.
    """
    return {name: {**part, "drop": drop} for name, part in dataset.conditions.items()}
