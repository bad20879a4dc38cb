"""Latent diffusion: an autoencoder, and a diffusion model in its latent space."""

from __future__ import annotations

import math

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

PICTURE_SIDE = 16  # shortest side at which ImageNet's features mean something
GROUPS = 8


def _autoencoder(dataset: Dataset, **kind: object) -> Config:
    """The sections of an autoencoder's config, f4, for a data set."""
    dims, channels = len(dataset.shape) - 1, dataset.shape[0]
    points, side = math.prod(dataset.shape[1:]), min(dataset.shape[1:])
    picture = dims == 2 and channels in (1, 3) and side >= PICTURE_SIDE
    steps = 4000
    return {
        "autoencoder": {
            "dims": dims,
            "channels": 32,
            "multipliers": [1, 2, 2],
            "blocks": 1,
            "groups": GROUPS,
            "latent_channels": 4,
            **kind,
        },
        "objective": {
            "name": "reconstruction",
            "features": {"name": "imagenet" if picture else "none"},
            "perceptual": 1.0,
            "adversarial": 0.5 if side >= 8 else 0.0,
            "start": steps // 2,
            "width": 32,
            "levels": 3 if side >= 64 else 2 if side >= 16 else 1,
        },
        "augment": {"name": "none"},
        "training": training(
            steps=steps,
            batch=max(1, min(16, round(2**16 / points))),
            lr=5e-4,
            warmup=100,
            betas=[0.5, 0.9],
            ema=0.999,
            head_rate=0.4,
        ),
    }


@system(
    "autoencoder-kl",
    "a KL-regularised autoencoder, for latent diffusion",
    "Rombach et al. 2022, arXiv:2112.10752",
    trains="autoencoder",
)
def autoencoder_kl(dataset: Dataset) -> Config:
    """The first stage of latent diffusion, f4: L1, perceptual distance, a patch discriminator with
    the hinge loss and the adaptive weight from half of the training on, and a KL weight of 1e-6.

    Departures: 32 channels and one block a level instead of 128 and two; 4000 steps of a batch that
    fits a laptop; the discriminator is narrower and normalises by groups, not by batches, and is
    told of x and x' in a turn of its own ahead of the autoencoder's.
    """
    return _autoencoder(dataset, name="kl", weight=1e-6)


@system(
    "autoencoder-vq",
    "a vector-quantised autoencoder, for latent diffusion",
    "Esser et al. 2021, arXiv:2012.09841",
    trains="autoencoder",
)
def autoencoder_vq(dataset: Dataset) -> Config:
    """VQGAN's autoencoder, f4, with a codebook of 1024 and a commitment of 1/4; trained as
    ``autoencoder-kl`` is.

    Departures: those of ``autoencoder-kl``; a code that is not used moves to a latent of the batch.
    """
    return _autoencoder(dataset, name="vq", codes=1024, commitment=0.25)


@system(
    "latent-diffusion",
    "diffusion in an autoencoder's latent space (--set codec.run=RUN)",
    "Rombach et al. 2022, arXiv:2112.10752",
    codec="autoencoder",
)
def latent_diffusion(dataset: Dataset) -> Config:
    """Latent diffusion: noise prediction on the table whose square roots of beta are even from
    .00085 to .012, in the latents of an autoencoder.

    Departures: as those of ``ddpm``, in network and training; each latent channel is scaled by its
    own deviation; 50 steps of DDIM.
    """
    return {
        "process": {"name": "ddpm-scaled-linear"},
        "prediction": {"name": "noise"},
        "label": {"name": "time"},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform", "steps": 1000},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(),
        "sampling": {"sampler": "ddim", "steps": 50, "grid": "trailing"},
    }
