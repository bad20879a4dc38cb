"""Improved DDPM (Nichol & Dhariwal 2021): a cosine table, a learned variance and the hybrid loss
that learns it.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

STEPS = 1000


@system(
    "improved-ddpm",
    "DDPM with a cosine table and a learned variance",
    "Nichol & Dhariwal 2021, arXiv:2102.09672",
)
def improved_ddpm(dataset: Dataset) -> Config:
    """100 ancestral steps on a table of 1000, with the variance that was learned."""
    return {
        "process": {"name": "ddpm-cosine", "steps": STEPS},
        "prediction": {"name": "noise"},
        "variance": {"name": "learned-range", "steps": STEPS},
        "label": {"name": "time", "steps": float(STEPS)},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "hybrid",
            "steps": STEPS,
            "scale": 0.001,
            "weight": {"name": "simple"},
            "decoder": {"name": "bins"},
        },
        "augment": {"name": "none"},
        "training": training(lr=1e-4),
        "sampling": {
            "sampler": {"name": "ddpm", "variance": "posterior"},
            "steps": 100,
            "grid": {"name": "trailing", "knots": STEPS},
        },
    }
