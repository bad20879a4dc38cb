"""DDPM: denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020), and DDIM (Song, Meng &
Ermon 2021), the same network with a deterministic sampler.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, plain_network, training
from unfog.systems.registry import Config, system


@system(
    "ddpm",
    "noise prediction on DDPM's 1000-step table, ancestral sampling",
    "Ho, Jain & Abbeel 2020, arXiv:2006.11239",
)
def ddpm(dataset: Dataset) -> Config:
    """DDPM as published: beta linear from 1e-4 to 0.02 over 1000 steps, noise prediction, the
    simple loss at uniform knots, EMA 0.9999, learning rate 2e-4, 1000 ancestral steps.

    Departures: the U-Net is smaller (64 channels, sized to the data), and training is 20 000 steps
    of 64 with a cosine decay instead of 800 000 of 128 at a constant rate, no dropout, no flips,
    and, where the data has conditions, these dropped with probability 0.1.
    """
    return {
        "process": {"name": "ddpm-linear"},
        "prediction": {"name": "noise"},
        "label": {"name": "time"},
        "network": plain_network(dataset, channels=64, modulation="add"),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform", "steps": 1000},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(),
        "sampling": {"sampler": "ddpm", "steps": 1000, "grid": "trailing"},
    }


@system(
    "ddim",
    "DDPM's network, sampled deterministically in 50 steps",
    "Song, Meng & Ermon 2021, arXiv:2010.02502",
)
def ddim(dataset: Dataset) -> Config:
    """DDIM (Song, Meng & Ermon 2021): ``ddpm`` trained alike, sampled deterministically (eta = 0)
    in 50 steps at even times.
    """
    return {**ddpm(dataset), "sampling": {"sampler": "ddim", "steps": 50, "grid": "trailing"}}
