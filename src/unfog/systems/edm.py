"""EDM: the design space of diffusion models (Karras et al. 2022).

Noise is added, not mixed; the network's input and output have unit variance at every noise level;
ln sigma is normal in training.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system


@system(
    "edm",
    "preconditioned network, log-normal noise levels, Heun's sampler",
    "Karras et al. 2022, arXiv:2206.00364",
)
def edm(dataset: Dataset) -> Config:
    """EDM with its own sampling: 18 Heun steps on the rho = 7 grid."""
    return {
        "process": {"name": "edm"},
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "label": {"name": "log-sigma"},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "log-normal", "mean": -1.2, "std": 1.2},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(lr=1e-3, warmup=200, ema=0.999),
        "sampling": {"sampler": "heun", "steps": 18, "grid": "karras"},
    }
