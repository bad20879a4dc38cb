"""Small EDM models that draw an image for a mask: T1 slices from tissue, head CT from bone, clothes
from a silhouette. Trained on a CPU; each class of the mask may be given alone, or none.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.edm import edm
from unfog.systems.priors import ct_prior, t1_prior
from unfog.systems.registry import Config, system

PAPER = "Karras et al. 2022, arXiv:2206.00364"


@system(
    "t1-from-tissue",
    "a small EDM that draws T1 slices for labels of grey and white matter",
    PAPER,
    data="mni-tissue",
)
def t1_from_tissue(dataset: Dataset) -> Config:
    """``t1-prior`` with the data's mask as condition, dropped with probability .1 and each class by
    itself with .3, and with 60 % of its deformations, which move the mask alike.
    """
    recipe = t1_prior(dataset)
    halved = {"rotation": 7.2, "scale": 0.09, "shift": 2.4, "elastic": 1.5, "gamma": 0.18}
    return {
        **recipe,
        "conditions": conditions(dataset),
        "augment": {**recipe["augment"], **halved},
    }


@system(
    "ct-from-bone",
    "a small EDM that draws head-CT slices for a mask of bone",
    PAPER,
    data="head-ct-bone",
)
def ct_from_bone(dataset: Dataset) -> Config:
    """``ct-prior`` with the data's mask as condition."""
    return {**ct_prior(dataset), "conditions": conditions(dataset)}


@system(
    "fashion-from-silhouette",
    "a small EDM that draws clothes for a silhouette, a class, or both",
    PAPER,
    data="fashion-silhouette",
)
def fashion_from_silhouette(dataset: Dataset) -> Config:
    """EDM with silhouette and class as conditions: a U-Net of 32 channels, batches of 32, mirrored
    pictures, and sampling by 18 Heun steps.
    """
    return {
        **edm(dataset),
        "network": unet(dataset, 32, multipliers=[1, 2, 2], blocks=1, attention_levels=[2]),
        "augment": {"name": "flip"},
        "training": training(steps=8_000, batch=32, lr=1e-3, warmup=200, ema=0.998, ema_power=17.0),
    }
