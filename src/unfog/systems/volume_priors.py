"""Small EDM priors for volumes, trained on patches on a CPU."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import convolutional_unet, log_normal_denoising, short_training
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

PATCH = 24


@system(
    "volume-prior",
    "a small EDM for volumes, on patches of 24 x 24 x 24 voxels",
    "Karras et al. 2022, arXiv:2206.00364",
    patch=PATCH,
)
def volume_prior(dataset: Dataset) -> Config:
    """EDM for patches of volumes: a fully convolutional 3-D U-Net on patches of 2 x 2 x 2 voxels,
    without positions and attention, so that it takes volumes of any size, and with a learned
    shortcut from input to output, without which it takes thousands of steps to learn to pass noise
    on; where voxels are isotropic, all symmetries of the cube as augmentation, else mirrors.

    Departures from the paper: ln sigma ~ N(-0.8, 1.6^2), batches of 6, an average over the last
    18th of the steps, and sampling from sigma = 40 by 40 ancestral steps.
    """
    if len(dataset.shape) != 4:
        raise InputError(
            f"This recipe is for volumes, and samples of {dataset.name} are "
            f"{tuple(dataset.shape)}; set data.patch, or take volumes of three dimensions."
        )
    sides, voxel = set(dataset.shape[1:]), dataset.voxel or (1.0,)
    isotropic = len(sides) == 1 and max(voxel) <= 1.05 * min(voxel)
    return {
        **edm(dataset),
        "network": convolutional_unet(
            dataset,
            32,
            patch=2,
            shortcut=True,
        ),
        "objective": log_normal_denoising(mean=-0.8, std=1.6),
        "augment": {"name": "cube" if isotropic else "flip"},
        "training": short_training(steps=5_000, batch=6, lr=1.5e-3, warmup=50),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 40.0}},
    }


@system(
    "t1-volume-prior",
    "a small EDM for patches of T1 volumes",
    "Karras et al. 2022, arXiv:2206.00364",
    data="mni-t1-3d",
    patch=PATCH,
)
def t1_volume_prior(dataset: Dataset) -> Config:
    """``volume-prior`` for T1 volumes: sigma_data = 0.65."""
    return {**volume_prior(dataset), "prediction": {"name": "edm", "sigma_data": 0.65}}
