"""NCSN: noise-conditional score networks (Song & Ermon 2019), with the settings of NCSNv2 (Song &
Ermon 2020).
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

LEVELS, LOW, HIGH = 232, 0.01, 50.0


@system(
    "ncsn",
    "score matching at geometric noise levels, annealed Langevin dynamics",
    "Song & Ermon 2019, arXiv:1907.05600",
)
def ncsn(dataset: Dataset) -> Config:
    """NCSN with NCSNv2's settings for 32 x 32 pictures: 232 noise levels in geometric progression
    from 50 to 0.01, denoising score matching weighted by sigma^2, the score as the network's output
    over -sigma, EMA 0.999, and annealed Langevin dynamics.

    The dynamics make 5 steps at each level with e = 6.2e-6 (sigma / 0.01)^2, that is a
    ``step_size`` 2 e / sigma^2 of 0.124, and then denoise. Departures: data are on the scale of
    their codec, mostly [-1, 1], not [0, 1]; a U-Net with the noise level as input, not a RefineNet
    whose output alone is scaled; 20 000 training steps of 64 by AdamW.
    """
    return {
        "process": {"name": "ve", "sigma_min": LOW, "sigma_max": HIGH},
        "prediction": {"name": "noise"},
        "label": {"name": "log-sigma"},
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "geometric", "count": LEVELS, "low": LOW, "high": HIGH},
            "weight": {"name": "score-matching"},
        },
        "augment": {"name": "none"},
        "training": training(ema=0.999),
        "sampling": {
            "sampler": {"name": "annealed-langevin", "step_size": 0.124, "repeats": 5},
            "steps": LEVELS,
            "grid": {"name": "log-snr", "sigma_min": LOW},
        },
    }
