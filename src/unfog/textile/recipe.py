"""The recipe of cloth."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import (
    conditions,
    convolutional_unet,
    log_normal_denoising,
    short_training,
)
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system
from unfog.textile import swatches  # noqa: F401  (registers its name)


@system(
    "textile",
    "cloth that repeats without a seam, from swatches at a known scale and rotation",
    "Karras et al. 2022, arXiv:2206.00364; Bar-Tal et al. 2023, arXiv:2302.08113",
    data="swatches",
)
def textile(dataset: Dataset) -> Config:
    """EDM for swatches: a fully convolutional U-Net without positions and attention, told what the
    data know of each (scale and rotation of the repeat, the material), and drawn from on a torus of
    windows (``core.torus``), so that cells of any size repeat squarely, half-dropped or as bricks.

    The torus is one of windows. A network padded circularly would learn the seams of squares that
    are cut out of a photograph and do not fit their own opposite side.

    Departures from EDM: sigma_data = 0.5 and ln sigma ~ N(-0.8, 1.4^2), batches of 16, patches of 2
    x 2 pixels, and 24 steps of Heun's method.
    """
    scales = getattr(dataset, "scales", {})
    return {
        **edm(dataset),
        "network": convolutional_unet(
            dataset,
            32,
            patch=2,
            shortcut=True,
        ),
        "conditions": conditions(dataset),
        "objective": log_normal_denoising(mean=-0.8, std=1.4),
        "training": short_training(steps=6_000, batch=16, warmup=100),
        "sampling": {
            "sampler": "heun",
            "steps": 24,
            "grid": {"name": "karras", "sigma_max": 40.0},
            **({"properties": {k: list(v) for k, v in scales.items()}} if scales else {}),
        },
    }
