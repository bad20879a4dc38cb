"""Recipes of the priors for diffusion MRI: EDM denoisers of small 3-D patches of spherical
harmonics, trained on simulation alone.

One training serves every scan: directions enter by the fit of harmonics, and b and the weight of b
= 0 as a condition (``unfog.dmri.simulation.simulate``).
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.dmri.prior import pairs  # noqa: F401  (registers the data of the refiner)
from unfog.dmri.shells import RMS  # and registers the simulation
from unfog.systems.common import (
    conditions,
    convolutional_unet,
    log_normal_denoising,
    short_training,
)
from unfog.systems.registry import Config, system


@system(
    "dmri-prior",
    "a 3-D EDM on spherical harmonics of simulated diffusion MRI: for denoising any scan",
    "Karras et al. 2022, arXiv:2206.00364",
)
def dmri_prior(dataset: Dataset) -> Config:
    """The prior for raw signals: an EDM U-Net with unit variance in every channel, trained at the
    noise levels of single scans, whose posterior draws are by the calibrated sampler.
    """
    data = list(RMS) if dataset.shape[0] == len(RMS) else [1.0] * dataset.shape[0]
    network = convolutional_unet(
        dataset,
        24,
        detail=data,
    )
    return {
        "process": {"name": "edm", "sigma_max": 4.0},
        "prediction": {"name": "edm", "sigma_data": list(data)},
        "label": {"name": "log-sigma"},
        "network": network,
        "conditions": conditions(dataset, drop=0.0),
        "objective": log_normal_denoising(mean=-3.7, std=1.1),
        "augment": {"name": "none"},
        "training": short_training(steps=9_000, batch=2, ema=0.999),
        "sampling": {
            "sampler": "calibrated-draws",
            "steps": 8,
            "grid": {"name": "log-snr", "sigma_min": 0.002},
        },
    }


@system(
    "dmri-refiner",
    "the same network for what low rank leaves of the noise, learned from pairs",
    "Karras et al. 2022, arXiv:2206.00364",
)
def dmri_refiner(dataset: Dataset) -> Config:
    """The prior for scans after low rank: the network of ``dmri-prior``, whose weights it starts
    from, trained on what low rank leaves of a simulated scan's noise.
    """
    steps = short_training(steps=4_000, batch=2, warmup=100, ema=0.999)
    return {**dmri_prior(dataset), "objective": {"name": "given-noise"}, "training": steps}
