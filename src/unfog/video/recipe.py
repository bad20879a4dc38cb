"""The recipe of the system ``video``."""

from __future__ import annotations

from torch import Tensor

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, short_training
from unfog.systems.registry import Config, system
from unfog.video import data, given, joint, operators  # noqa: F401  (each registers its names)

STILLS = 0.1  # of the samples of a step
ALONE = 0.4  # of the clips, of which no frame is known
MEASURED = 32  # clips, by which the deviation from known frames is measured


@system(
    "video",
    "clips by a space-time U-Net, told their frame rate, on clips and pictures jointly",
    "Ho et al. 2022, arXiv:2204.03458",
    data="moving-fashion",
)
def video(dataset: Dataset) -> Config:
    """Video diffusion (Ho et al. 2022) on EDM's process: a factorised space-time U-Net with
    attention along time and a bias by distance, trained on clips and, with a tenth of the samples,
    on their frames as pictures. Of six clips in ten some frames are known to it, which a clip is
    then extended, predicted or interpolated from; there the state is what is left of the clip when
    the known frames, filled in between and after, are taken away, in its own deviation, which is
    measured as a power of the distance to the known frames.

    Departures from the paper: EDM's preconditioning instead of a cosine table and v; a convolution
    along time in every stage, and attention over the whole clip on the smallest map; frames that
    are known are shown to the network, beside reconstruction guidance by its gradient; noise levels
    around ln sigma = 0.4, since neighbouring frames show the same thing and average noise out, so
    that what a clip shows is decided at higher levels; a small U-Net (48 channels on patches of 2).
    """
    if len(dataset.shape) != 4:
        raise InputError(
            f"This recipe is for clips (channels, frames, rows, columns), and samples of "
            f"{dataset.name} are {tuple(dataset.shape)}; give a folder of videos, or "
            "moving-fashion."
        )
    return {
        "process": {"name": "edm"},
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "label": {"name": "log-sigma"},
        "network": _network(min(dataset.shape[2:])),
        "conditions": {
            **conditions(dataset),
            given.NAME: {
                "name": "given-frames",
                "channels": dataset.shape[0],
                "drop": ALONE,
                **given.law_of(_some_of(dataset)),
            },
        },
        "objective": {
            "name": "joint-denoising",
            "times": {"name": "log-normal", "mean": 0.4, "std": 1.5},
            "weight": {"name": "simple"},
            "stills": STILLS,
        },
        "augment": {"name": "none"},
        "training": short_training(steps=10_000, batch=4, warmup=100, ema=0.999),
        "sampling": {"sampler": "heun", "steps": 18, "grid": "karras"},
    }


def _some_of(dataset: Dataset) -> Tensor:
    """Some clips at even distances, as floats."""
    ids = range(0, len(dataset), max(1, len(dataset) // MEASURED))
    return dataset.batch(ids[:MEASURED])["x"].float()


def _network(side: int) -> Config:
    """The section of the network for frames of a shorter side."""
    patch = 2 if side >= 16 else 1
    levels = max(1, min(3, (side // patch).bit_length() - 2))
    return {
        "name": "space-time-unet",
        "channels": 48,
        "multipliers": [1, 2, 2][:levels],
        "blocks": 1,
        "attention_levels": [levels - 1],
        "temporal_levels": None,
        "joint_levels": [levels - 1],
        "groups": 8,
        "patch": patch,
        "shortcut": True,
    }
