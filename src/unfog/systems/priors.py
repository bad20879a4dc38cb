"""Small EDM priors for restoration, trained on a CPU: T1 and head-CT slices, natural textures and
fields on a periodic square.

All have EDM's process, preconditioning and loss (Karras et al. 2022). They depart from the paper in
the network's size, in the mean and deviation of ln sigma in training, in the average of the weights
(a power ramp; Karras et al. 2024) and in the sampler: 40 ancestral steps on the rho = 7 grid.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import (
    conditions,
    convolutional_unet,
    log_normal_denoising,
    short_training,
    unet,
)
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

ANATOMY: Config = {
    "name": "anatomy",
    "rotation": 12.0,
    "scale": 0.15,
    "shift": 4.0,
    "elastic": 2.5,
    "gamma": 0.3,
    "knots": 7,
}


@system(
    "t1-prior",
    "a small EDM for T1 slices, learning fast on a CPU: the shipped prior",
    "Karras et al. 2022, arXiv:2206.00364",
)
def t1_prior(dataset: Dataset) -> Config:
    """EDM for T1 slices: a U-Net on patches of 2 x 2 pixels with position channels and dropout, and
    anatomical augmentation (``data.augment.Anatomy``).

    Departures from the paper: sigma_data = 0.65 and ln sigma ~ N(-0.8, 1.6^2), batches of 4, weight
    decay 0.03, augmentation by deformations of a head instead of EDM's, and sampling from sigma =
    40 by 40 ancestral steps.
    """
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": 0.65},
        "network": unet(
            dataset,
            32,
            multipliers=[1, 2, 3],
            blocks=1,
            attention_levels=[2],
            groups=8,
            patch=2,
            coordinates=True,
            octaves=3,
            dropout=0.1,
        ),
        "objective": log_normal_denoising(mean=-0.8, std=1.6),
        "augment": dict(ANATOMY),
        "training": short_training(steps=18_000, batch=4, weight_decay=0.03),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 40.0}},
    }


@system(
    "ct-prior",
    "the T1 prior's recipe for head-CT slices, whose grey levels are attenuations",
    "Karras et al. 2022, arXiv:2206.00364",
)
def ct_prior(dataset: Dataset) -> Config:
    """``t1-prior`` for head CT: sigma_data = 0.5, and grey levels augmented by 5 % only, because
    they are physical attenuations.
    """
    return {
        **t1_prior(dataset),
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "augment": {**ANATOMY, "gamma": 0.05},
    }


@system(
    "texture-prior",
    "a small EDM for squares of natural texture",
    "Karras et al. 2022, arXiv:2206.00364",
)
def texture_prior(dataset: Dataset) -> Config:
    """EDM for squares of texture: a fully convolutional U-Net, without positions and attention, so
    that it takes pictures of any size; mirrored pictures.

    Departures from the paper: sigma_data = 0.28 and ln sigma ~ N(-0.8, 1.4^2), batches of 8, and
    sampling from sigma = 40 by 40 ancestral steps.
    """
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": 0.28},
        "network": convolutional_unet(
            dataset,
            32,
            multipliers=[1, 2, 2, 2],
        ),
        "objective": log_normal_denoising(mean=-0.8, std=1.4),
        "augment": {"name": "flip"},
        "training": short_training(steps=3_000, batch=8, warmup=100, checkpoint_every=250),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 40.0}},
    }


@system(
    "field-prior",
    "a small EDM for fields on a periodic square, such as vorticity",
    "Karras et al. 2022, arXiv:2206.00364",
)
def field_prior(dataset: Dataset) -> Config:
    """EDM for homogeneous isotropic fields: a U-Net on patches of 2 x 2 pixels, with random cyclic
    shifts and quarter turns as augmentation, under which their law is invariant.

    Departures from the paper: ln sigma ~ N(-1, 1.6^2), batches of 8, and sampling from sigma = 10
    by 40 ancestral steps. Conditions are never dropped.
    """
    return {
        **edm(dataset),
        "network": unet(
            dataset, 32, multipliers=[1, 2, 2], blocks=1, attention_levels=[2], groups=8, patch=2
        ),
        "conditions": conditions(dataset, drop=0.0),
        "objective": log_normal_denoising(mean=-1.0, std=1.6),
        "augment": {"name": "torus"},
        "training": short_training(steps=5_000, batch=8),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 10.0}},
    }
