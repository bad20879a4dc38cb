"""The recipe of molecules."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.molecules import egnn, folder, format, held, qm9, transformer  # noqa: F401  (register)
from unfog.molecules.dataset import Molecules
from unfog.molecules.sizes import size_prior
from unfog.molecules.state import ATOMS, AXES
from unfog.systems.common import conditions, training
from unfog.systems.registry import Config, system

# Deviations of the state's channels: places, types, atomic number.
SIGMA_DATA = [1.5] * AXES + [0.15] * len(ATOMS) + [0.45]

FREE = 0.5  # of the molecules, of which no fragment is known


@system(
    "molecules",
    "equivariant diffusion of molecules: places, types and charges of atoms",
    "Hoogeboom et al. 2022, arXiv:2203.17003",
    data="qm9",
)
def molecules(dataset: Dataset) -> Config:
    """Molecules by EDM's process (Karras et al. 2022) and an equivariant transformer of atoms:
    places without a centre of mass, types scaled by 1/4 and charges by 1/10; a property dropped
    with probability .1. Of half of the molecules a fragment is known, which has no noise
    (``molecules.held``), so that others keep it.

    Departures from Hoogeboom et al.: noise levels in Angstrom, log-normal about .4, and each
    channel in units of its own deviation, instead of noise prediction on the polynomial schedule;
    ``molecules.transformer`` instead of the EGNN, at a third of its time; batches of 32
    for 20 000 steps instead of 3000 epochs of 64, a cosine decay of the learning rate 1.5e-3, the
    average of the weights over the last 18th of the steps, and 60 steps of DPM-Solver++(2M) SDE
    instead of 1000 ancestral ones. docs/molecules.md has the settings of the published model.
    """
    if not isinstance(dataset, Molecules):
        raise InputError(
            f"The data set {dataset.name!r} holds no molecules; take qm9, or a folder of .sdf or "
            ".xyz files."
        )
    return {
        "process": {"name": "edm", "sigma_max": 15.0},
        "prediction": {"name": "edm", "sigma_data": SIGMA_DATA},
        "label": {"name": "log-sigma"},
        "network": {"name": "atom-transformer", "width": 128, "layers": 6, "vectors": 32},
        "conditions": {**conditions(dataset), held.NAME: {"name": "fragment", "drop": FREE}},
        "objective": {
            "name": "fragment-denoising",
            "times": {"name": "log-normal", "mean": -0.9, "std": 1.3},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(batch=32, lr=1.5e-3, ema=0.999, ema_power=17.0),
        "sampling": {
            "sampler": "dpmpp-2m-sde",
            "steps": 60,
            "grid": "karras",
            # What a user is asked for: how large, and of what property, in its unit.
            "sizes": size_prior(dataset.sizes, dataset.shape[1]),
            "properties": dataset.scales,
        },
    }
