"""Consistency models: the two systems whose samples take one to four steps.

``consistency`` is trained from data alone (improved consistency training: Song & Dhariwal 2024;
easy consistency tuning: Geng et al. 2025) with EDM's network. Its knots double every
``objective.every`` steps, so a run of another length wants another number there. Distillation of a
trained run is ``runs.distill``.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import training
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system


def sampling(segments: int, steps: int, scale: float) -> Config:
    """The sampling section of a consistency model."""
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
    """EDM's network without dropout, consistency training, two steps."""
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
