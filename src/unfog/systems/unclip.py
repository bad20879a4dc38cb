"""DALL-E 2, which its authors call unCLIP (Ramesh et al. 2022)."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training
from unfog.systems.registry import Config, system

PAPER = "Ramesh et al. 2022, arXiv:2204.06125"


@system(
    "dalle2-prior",
    "DALL-E 2's diffusion prior: embeddings of images by text",
    PAPER,
)
def dalle2_prior(dataset: Dataset) -> Config:
    """The diffusion prior: a causal transformer that predicts x_0, an image's embedding, on the
    cosine process, text dropped with probability .1.

    Departures: 6 blocks of width 256 instead of 24 of 2048, 32 steps of DPM-Solver++(2M) instead
    of 64 of Analytic DPM, batches of 256 and 20 000 steps.
    """
    return {
        "process": {"name": "vp-cosine"},
        "prediction": {"name": "x0"},
        "label": {"name": "time"},
        "network": {"name": "prior-transformer", "depth": 6, "width": 256, "heads": 4},
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform"},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(batch=256, lr=1e-3),
        "sampling": {"sampler": "dpmpp-2m", "steps": 32, "grid": "uniform"},
    }
