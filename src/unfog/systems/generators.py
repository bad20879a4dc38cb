"""The systems that diffusion is compared with: variational autoencoders and a GAN."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import training
from unfog.systems.registry import Config, system

CLASSES = ("class", "named-class")  # conditions that a generator takes
LEAST_SIDE = 7  # of the coarsest map


def _sizes(dataset: Dataset) -> Config:
    """The levels of maps for a data set: as many as keep the coarsest at 7 or more, three at most;
    of vectors, whose levels are layers, one of 128.
    """
    if len(dataset.shape) == 1:
        return {"channels": 128, "multipliers": [1], "blocks": 2}
    side, levels = min(dataset.shape[1:]), 1
    while levels < 3 and side // 2**levels >= LEAST_SIDE // 2 + 1:
        levels += 1
    return {"channels": 16, "multipliers": [1, 2, 8][:levels], "blocks": 1}


def classes(dataset: Dataset) -> tuple[str | None, int]:
    """The condition that is a class, and how many there are; (None, 0) where there is not one."""
    found = {k: v for k, v in dataset.conditions.items() if v["name"] in CLASSES}
    if len(found) != 1:
        return None, 0
    ((name, section),) = found.items()
    return name, int(section["count"])


def _told(dataset: Dataset) -> tuple[Config, Config]:
    """What generator and critic, and the objective, are told of classes; nothing without them."""
    name, count = classes(dataset)
    return ({}, {}) if name is None else ({"classes": count}, {"label": name})


def _variational(dataset: Dataset, **changes: object) -> Config:
    """The sections of a VAE's config."""
    # A vector is drawn with its noise; a picture is shown without.
    spread = 1.0 if len(dataset.shape) == 1 else 0.0
    counted, label = _told(dataset)
    return {
        "generator": {**_sizes(dataset), "spread": spread, **changes, **counted},
        "objective": {"name": "evidence", "beta": 1.0, "rise": 5000, **label},
        "augment": {"name": "none"},
        "training": training(lr=1e-3, ema=0.999, precision="fp32"),
    }


@system(
    "vae",
    "a variational autoencoder with a learned noise, to compare with",
    "Kingma & Welling 2014, arXiv:1312.6114; Rybkin et al. 2021, arXiv:2006.13202",
    trains="generator",
)
def vae(dataset: Dataset) -> Config:
    """A VAE of 32 latents, its noise learned, beta 1 after a quarter of the training.

    ``objective.beta`` is that of beta-VAE (Higgins et al. 2017).
    """
    return _variational(dataset, name="vae", latent=32)


@system(
    "hierarchical-vae",
    "a variational autoencoder with latents at every resolution, to compare with",
    "Child 2021, arXiv:2011.10650",
    trains="generator",
)
def hierarchical_vae(dataset: Dataset) -> Config:
    """A small VDVAE: two latents of 8 channels at each of up to three resolutions.

    Departures: few latents, a Gaussian of one learned noise for x, no skipping of large gradients
    but the clipping that all recipes share.
    """
    return _variational(dataset, name="hierarchical-vae", latent=8, blocks=2)


@system(
    "gan",
    "a relativistic GAN with two gradient penalties, to compare with",
    "Huang et al. 2024, arXiv:2501.05441",
    trains="generator",
)
def gan(dataset: Dataset) -> Config:
    """R3GAN, small: relativistic loss, R1 and R2 of weight 1, no normalisation, Adam without
    momentum.

    Departures: networks for a laptop, a constant penalty, and batches of 64.
    """
    counted, label = _told(dataset)
    return {
        "generator": {"name": "upward", "latent": 64, **_sizes(dataset), **counted},
        "objective": {
            "name": "relativistic",
            "gamma": 1.0,
            **_sizes(dataset),
            **counted,
            **label,
        },
        "augment": {"name": "none"},
        "training": training(
            lr=2e-4, betas=[0.0, 0.99], ema=0.999, clip=None, warmup=0, precision="fp32"
        ),
    }
