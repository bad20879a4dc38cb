"""Consistency models, whose samples take one to four steps: the system trained from data alone.

Distillation of a trained run into a consistency model is ``runs.distill``.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import training
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system


def sampling(segments: int, steps: int, scale: float) -> Config:
    """The sampling section of a consistency model.

    Args:
        segments: The segments of time, each jumped at once; 1 is a plain consistency model.
        steps: The steps of a sample.
        scale: sigma_data of the grid's angle atan(sigma / (scale alpha)), in which steps are even.

    Returns:
        The config section.
    """
    return {
        "sampler": {"name": "consistency", "segments": segments, "scale": scale},
        "steps": steps,
        "grid": {"name": "angle", "scale": scale},
    }


@system(
    "consistency",
    "trained to land on clean data from any noise at once, sampled in 2 steps",
    "Song & Dhariwal 2024, arXiv:2310.14189",
)
def consistency(dataset: Dataset) -> Config:
    """Improved consistency training (iCT; Song & Dhariwal 2024), two sampling steps.

    From the paper: EDM's preconditioning, the pseudo-Huber loss, knots that double in training, no
    averaged network as the teacher, two-step sampling. Departures: knots are even in the angle
    atan(sigma / (0.5 alpha)) and drawn uniformly, not Karras' and log-normal; 8 to 256 of them, not
    10 to 1280, doubled every 2500 steps (``objective.every``; set it to match a run of another
    length); the loss has c = 0.01 sqrt(d) for samples of d values, not 0.00054 sqrt(d), and no
    weight; no dropout; AdamW, not RAdam. Easy consistency tuning (Geng et al. 2025) starts such a
    training from a diffusion model.
    """
    return {
        **edm(dataset),
        "objective": {
            "name": "consistency-training",
            "segments": 1,
            "first": 8,
            "last": 256,
            "every": 2500,
            "scale": 0.5,
            "huber": 0.01,
        },
        "training": training(lr=4e-4, warmup=200, ema=0.999),
        "sampling": sampling(segments=1, steps=2, scale=0.5),
    }
