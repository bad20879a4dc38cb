"""The prior for scientific fields on a periodic square: a small EDM that learns on a CPU, for restoring fields from sparse sensors."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.runs.config import Config
from unfog.systems.common import conditions, training, unet
from unfog.systems.edm import edm
from unfog.systems.registry import system


@system("field-prior", "a small EDM for fields on a periodic square, such as vorticity", "Karras et al. 2022, arXiv:2206.00364")
def field_prior(dataset: Dataset) -> Config:
    """EDM at a quarter of the pixels; every shift and quarter turn of a field is a field."""
    return {
        **edm(dataset),
        "network": unet(dataset, 32, multipliers=[1, 2, 2], blocks=1, attention_levels=[2], groups=8, patch=2),
        "conditions": conditions(dataset, drop=0.0),
        "objective": {"name": "denoising", "times": {"name": "log-normal", "mean": -1.0, "std": 1.6}, "weight": {"name": "simple"}},
        "augment": {"name": "torus"},
        "training": training(steps=5_000, batch=8, lr=1e-3, warmup=200, betas=[0.9, 0.99], ema=0.998, ema_power=17.0),
        "sampling": {"sampler": "ddpm", "steps": 40, "grid": {"name": "karras", "sigma_max": 10.0}},
    }
