"""EDM: the design space of diffusion models (Karras et al. 2022), and the small priors for T1 and head-CT slices and textures built on it.

Noise is added, not mixed; the network's input and output have unit variance at every noise level; ln sigma is normal in training.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.runs.config import Config
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import system


@system("edm", "preconditioned network, log-normal noise levels, Heun's sampler", "Karras et al. 2022, arXiv:2206.00364")
def edm(dataset: Dataset) -> Config:
    """EDM with its own sampling: 18 Heun steps on the rho = 7 grid."""
    return {
        "process": {"name": "edm"},
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "label": {"name": "log-sigma"},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {"name": "denoising", "times": {"name": "log-normal", "mean": -1.2, "std": 1.2}, "weight": {"name": "simple"}},
        "augment": {"name": "none"},
        "training": training(lr=1e-3, warmup=200, ema=0.999),
        "sampling": {"sampler": "heun", "steps": 18, "grid": "karras"},
    }


@system("t1-prior", "a small EDM for T1 slices, learning fast on a CPU: the shipped prior", "Karras et al. 2022, arXiv:2206.00364")
def t1_prior(dataset: Dataset) -> Config:
    """EDM at a quarter of the pixels with position channels; anatomical augmentation; ancestral sampling."""
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": 0.65},
        "network": unet(
            dataset, 32, multipliers=[1, 2, 3], blocks=1, attention_levels=[2], groups=8, patch=2, coordinates=True, octaves=3, dropout=0.1
        ),
        "objective": {"name": "denoising", "times": {"name": "log-normal", "mean": -0.8, "std": 1.6}, "weight": {"name": "simple"}},
        "augment": {"name": "anatomy", "rotation": 12.0, "scale": 0.15, "shift": 4.0, "elastic": 2.5, "gamma": 0.3, "knots": 7},
        "training": training(
            steps=18_000, batch=4, lr=1e-3, warmup=200, weight_decay=0.03, betas=[0.9, 0.99],
            ema=0.998, ema_power=17.0, checkpoint_every=500
        ),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 40.0}},
    }  # fmt: skip


@system("ct-prior", "the T1 prior's recipe for head-CT slices, whose grey levels are attenuations", "Karras et al. 2022, arXiv:2206.00364")
def ct_prior(dataset: Dataset) -> Config:
    """As ``t1-prior``, with tones nearly kept: a grey level is a physical quantity here."""
    anatomy = {"name": "anatomy", "rotation": 12.0, "scale": 0.15, "shift": 4.0, "elastic": 2.5, "gamma": 0.05, "knots": 7}
    return {**t1_prior(dataset), "prediction": {"name": "edm", "sigma_data": 0.5}, "augment": anatomy}


@system("texture-prior", "a small EDM for squares of natural texture", "Karras et al. 2022, arXiv:2206.00364")
def texture_prior(dataset: Dataset) -> Config:
    """EDM at full resolution without positions, so that it takes any size; mirrored pictures; ancestral sampling."""
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": 0.28},
        "network": unet(dataset, 32, multipliers=[1, 2, 2, 2], blocks=1, attention_levels=[], middle_attention=False, groups=8),
        "objective": {"name": "denoising", "times": {"name": "log-normal", "mean": -0.8, "std": 1.4}, "weight": {"name": "simple"}},
        "augment": {"name": "flip"},
        "training": training(steps=3_000, batch=8, lr=1e-3, warmup=100, betas=[0.9, 0.99], ema=0.998, ema_power=17.0, checkpoint_every=250),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 40.0}},
    }
