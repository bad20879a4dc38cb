"""The recipe of garments."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.fashion.garments import Garments
from unfog.systems.common import conditions, short_training, unet
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

HIDDEN = {"silhouette": 0.5, "sketch": 0.6}  # probabilities with which training hides maps
EVERYTHING = 0.6  # share of training in which no part of the garment is known


@system(
    "fashion",
    "garments by class, measured attributes, silhouette, sketch and what is to stay of one",
    "Karras et al. 2022, arXiv:2206.00364; Ho & Salimans 2022, arXiv:2207.12598",
    data="garments",
)
def fashion(dataset: Dataset) -> Config:
    """EDM with class, attributes, silhouette, sketch and the picture about a hole as conditions,
    each of which may be given without the others: one network draws from nothing, for a wish, along
    a sketch, and redesigns a part.

    Departures from EDM: a U-Net of 48 channels on patches of 2 x 2 pixels, batches of 32, mirrored
    pictures, the average of the weights over the last steps, and 25 steps of DPM-Solver++(2M).
    """
    if not isinstance(dataset, Garments):
        raise InputError(
            f"The data set {dataset.name!r} has no attributes of garments; take garments, or your "
            "own pictures by --data garments --set data.path=FOLDER."
        )
    told = conditions(dataset)
    for name, chance in HIDDEN.items():
        told[name] |= {"drop": chance}
    told["hole"] = {"name": "inpainting", "drop": 0.0, "everything": EVERYTHING}
    return {
        **edm(dataset),
        "network": unet(
            dataset,
            48,
            multipliers=[1, 2],
            blocks=1,
            attention_levels=[1],
            groups=8,
            patch=2,
            coordinates=True,
            shortcut=True,
        ),
        "conditions": told,
        "augment": {"name": "flip"},
        "training": short_training(steps=12_000, batch=32),
        "sampling": {
            "sampler": "dpmpp-2m",
            "steps": 25,
            "grid": {"name": "karras", "sigma_max": 40.0},
            # What a user may ask for: of each attribute mean, deviation, smallest, largest.
            "properties": {name: list(scale) for name, scale in dataset.scales.items()},
        },
    }
