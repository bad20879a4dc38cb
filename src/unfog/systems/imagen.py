"""Imagen (Saharia et al. 2022): a base model of small pictures, and upsamplers."""

from __future__ import annotations

import math

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

PAPER = "Saharia et al. 2022, arXiv:2205.11487"
# An upsampler's output is its small picture and its noise to begin with.
SHORTCUTS: Config = {"shortcut": True, "picture_shortcut": True}


def low_resolution(
    dataset: Dataset, factor: int = 4, *, blur: float = 0.0, level: float = 1.0
) -> Config:
    """The config of the condition of a small picture, for upsamplers.

    Args:
        dataset: The data, whose sides the factor divides.
        factor: How much larger than the small picture a sample is, along each axis.
        blur: Largest deviation of the blur in training, in points of a sample.
        level: Largest level of noise in training.

    Returns:
        Its section; the small picture is never dropped.

    Raises:
        InputError: The factor does not divide every side.
    """
    if any(side % factor for side in dataset.shape[1:]):
        raise InputError(
            f"An upsampler enlarges by {factor}, which does not divide samples of "
            f"{' x '.join(map(str, dataset.shape[1:]))}; crop or resample them."
        )
    channels = dataset.shape[0]
    return {
        "name": "low-resolution",
        "channels": channels,
        "factor": factor,
        "blur": blur,
        "level": level,
        "drop": 0.0,
    }


def efficient_unet(dataset: Dataset, channels: int) -> Config:
    """The network section of an efficient U-Net: halved ahead of the first block, skips scaled by
    1 / sqrt(2), and more blocks the lower the level.
    """
    network = unet(dataset, channels)
    levels = len(network["multipliers"])
    return {
        **network,
        **SHORTCUTS,
        "blocks": [min(2**level, 4) for level in range(levels)],
        "halvings": int(min(dataset.shape[1:]) >= 16),
        "skip_scale": round(1 / math.sqrt(2), 6),
    }


@system("imagen-base", "Imagen's base model: small pictures by text", PAPER, text="minilm")
def imagen_base(dataset: Dataset) -> Config:
    """The cosine process, conditioned on what the data bring, text for one, dropped with
    probability .1; dynamic thresholding at sampling.

    Departures: v is predicted and not the noise, of which x_0 at t = 1 cannot be told; 64 channels;
    20 000 steps of 64; 64 steps of DDPM instead of 256.
    """
    return {
        "process": {"name": "vp-cosine"},
        "prediction": {"name": "v"},
        "label": {"name": "time"},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform"},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(),
        "sampling": {
            "sampler": {"name": "ddpm", "variance": "large"},
            "steps": 64,
            "grid": "uniform",
            "clip": "dynamic",
        },
    }


@system(
    "imagen-upsampler",
    "Imagen's super-resolution, told the noise in its input",
    PAPER,
    text="minilm",
)
def imagen_upsampler(dataset: Dataset) -> Config:
    """Super-resolution by 4: an efficient U-Net, v prediction on the cosine process, the small
    picture concatenated with noise of a level that is drawn from 0 to 1 in training, told to the
    network, and chosen at sampling.

    Departures: 64 channels; shortcuts past the network for x and for the small picture; 20 000
    steps of 64; 32 steps of DDIM instead of 128 of DDPM; static thresholding, since dynamic
    thresholding turns what white a small model is not sure of grey.
    """
    return {
        **imagen_base(dataset),
        "network": efficient_unet(dataset, channels=64),
        "conditions": {**conditions(dataset), "low": low_resolution(dataset)},
        "sampling": {"sampler": "ddim", "steps": 32, "grid": "uniform", "clip": 1.0},
    }
