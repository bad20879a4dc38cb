"""A prior for any scan of a head, learned from simulation alone."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import (
    conditions,
    convolutional_unet,
    log_normal_denoising,
    short_training,
)
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

SIGMA_DATA = 0.65
HIDDEN = 0.3  # of the voxels' sizes, in training


@system(
    "head-prior",
    "an EDM for scans of heads of any contrast, learned from simulation",
    "Karras et al. 2022, arXiv:2206.00364; Billot et al. 2023, arXiv:2107.09559",
    data="synthetic-heads",
    patch=32,
)
def head_prior(dataset: Dataset) -> Config:
    """EDM for restoration, of patches in two or three dimensions: a fully convolutional U-Net on
    patches of 2 voxels a side, without positions and attention, told the voxels' sizes where they
    are known, and shown fine detail in units of the noise.

    Departures from the paper: ln sigma ~ N(-1.7, 1), the noise of scans rather than that of
    drawing, batches of 2, an average over the last 18th of the steps, and sampling from sigma = 40
    by 10 of Heun's steps: ancestral ones, unless they are many, draw too little spread.
    """
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": SIGMA_DATA},
        "network": convolutional_unet(
            dataset, 48, multipliers=[1, 1, 1], patch=2, shortcut=True, detail=SIGMA_DATA
        ),
        "conditions": conditions(dataset, drop=HIDDEN),
        "objective": log_normal_denoising(mean=-1.7, std=1.0),
        "training": short_training(steps=6_000, batch=2, lr=1.2e-3, warmup=100),
        "sampling": {
            "sampler": "heun",
            "steps": 10,
            "grid": {"name": "karras", "sigma_max": 40.0},
            "mirrored": True,
        },
    }
