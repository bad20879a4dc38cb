"""EDM: "Elucidating the design space of diffusion-based generative models" (Karras et al. 2022)."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, log_normal_denoising, plain_network, training
from unfog.systems.registry import Config, system


@system(
    "edm",
    "preconditioned network, log-normal noise levels, Heun's sampler",
    "Karras et al. 2022, arXiv:2206.00364",
)
def edm(dataset: Dataset) -> Config:
    """EDM as published (Karras et al. 2022, table 1): sigma(t) = t, the preconditioned network with
    sigma_data = 0.5 and c_noise = ln(sigma) / 4, ln sigma ~ N(-1.2, 1.2^2) in training, and 18 Heun
    steps on the rho = 7 grid.

    The paper's weight lambda = 1 / c_out^2 on the error of x_0 is the weight 1 on that of F.
    Departures: a smaller U-Net (64 channels, sized to the data), no augmentation and no dropout,
    and training of 20 000 steps of 64 with EMA 0.999 and a cosine decay of the learning rate 1e-3.
    """
    return {
        "process": {"name": "edm"},
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "label": {"name": "log-sigma"},
        "network": plain_network(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": log_normal_denoising(mean=-1.2, std=1.2),
        "augment": {"name": "none"},
        "training": training(lr=1e-3, warmup=200, ema=0.999),
        "sampling": {"sampler": "heun", "steps": 18, "grid": "karras"},
    }
