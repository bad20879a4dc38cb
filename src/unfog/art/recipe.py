"""The recipe of large pictures."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import (
    conditions,
    convolutional_unet,
    log_normal_denoising,
    short_training,
)
from unfog.systems.edm import edm
from unfog.systems.imagen import SHORTCUTS, low_resolution
from unfog.systems.registry import Config, system

FACTOR = 4  # how many times larger each level is along either axis
NOTHING = 0.25  # share of training without a small picture


@system(
    "art",
    "large pictures in colour: one network draws a small one and enlarges it by 4 again and again",
    "Ho et al. 2022, arXiv:2106.15282; Bar-Tal et al. 2023, arXiv:2302.08113",
    data="photographs",
)
def art(dataset: Dataset) -> Config:
    """A cascade in one network: EDM told a picture a quarter as large, or in a quarter of the
    training none. It draws a small canvas from nothing and each larger one from that before, all
    but the smallest in windows that overlap and lie elsewhere at every step.

    Departures from Ho et al.: one network in place of one a level; EDM's process; noise of a level
    up to .3 in the small picture in training; batches of 16 on patches of 2 x 2 pixels; 8 steps of
    DDIM, for what is known of a canvas fixes most of it.
    """
    low = low_resolution(dataset, FACTOR, blur=1.0, level=0.3)
    return {
        **edm(dataset),
        "network": convolutional_unet(
            dataset,
            32,
            patch=2,
            **SHORTCUTS,
        ),
        "conditions": {**conditions(dataset), "low": {**low, "drop": NOTHING}},
        "objective": log_normal_denoising(mean=-0.8, std=1.4),
        "training": short_training(steps=6_000, batch=16, warmup=100),
        "sampling": {
            "sampler": "ddim",
            "steps": 8,
            "grid": {"name": "karras", "sigma_max": 40.0},
            "clip": 1.0,
        },
    }
