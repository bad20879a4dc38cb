"""Text to image: a small EDM that draws a picture for a caption, trained on a CPU, in pixels or in
the latents of an autoencoder.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, log_normal_denoising, short_training, unet
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

SIGMA_DATA = 0.8  # deviation of pictures on white, with their mean
FINE = 32  # points of a side from which a grid is worked on in patches
PATCHED: Config = {"channels": 32, "multipliers": [1, 2, 3], "patch": 2, "head_dim": 32}
SMALL: Config = {"channels": 72, "multipliers": [1, 2], "head_dim": 36}  # grids, as of latents
TOKEN_WIDTH = 128  # that the encoder's tokens are projected to


@system(
    "text-to-image",
    "a small EDM that draws a picture for a caption, with guidance",
    "Saharia et al. 2022, arXiv:2205.11487; Karras et al. 2022, arXiv:2206.00364",
    data="emoji",
    text="minilm",
)
def text_to_image(dataset: Dataset) -> Config:
    """EDM with a text: the frozen encoder's token states by cross-attention at the two lower
    levels, and its pooled vector added to the time embedding; captions dropped with probability .1
    for guidance (Ho & Salimans 2022).

    Departures from Imagen and EDM: pictures of 32 pixels and more a U-Net of 32 channels on patches
    of 2 x 2 with batches of 8, smaller grids, such as latents (--set codec.name=autoencoder --set
    codec.run=RUN), one of 72 and batches of 32; position channels and a shortcut; the sentence
    encoder in place of T5; sigma_data = 0.8 and ln sigma ~ N(-0.6, 1.5^2); an average of the
    weights over the last 18th of the steps; 24 Heun steps under guidance 3.
    """
    if not dataset.conditions:
        raise InputError(
            f"The data set {dataset.name!r} has no captions to learn text from; put a captions.csv "
            "beside the pictures and give --set data.captions=true."
        )
    fine = min(dataset.shape[1:]) >= FINE
    sizes = PATCHED if fine else SMALL
    network = unet(dataset, blocks=1, groups=8, coordinates=True, octaves=2, shortcut=True, **sizes)
    levels = len(network["multipliers"])
    network["attention_levels"] = [levels - 2, levels - 1]
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": SIGMA_DATA},
        "network": network,
        "conditions": told(dataset),
        "objective": log_normal_denoising(mean=-0.6, std=1.5),
        "training": short_training(steps=14_000, batch=8 if fine else 32, lr=2e-3, warmup=300),
        "sampling": {
            "sampler": "heun",
            "steps": 24,
            "grid": {"name": "karras", "sigma_max": 40.0},
            "guidance": 3.0,
        },
    }


@system(
    "text-inpainting",
    "text to image that also draws what is in a hole of a picture",
    "Nichol et al. 2022, arXiv:2112.10741; Rombach et al. 2022, arXiv:2112.10752",
    data="emoji",
    text="minilm",
)
def text_inpainting(dataset: Dataset) -> Config:
    """``text-to-image`` with the picture outside a hole and the hole's mask beside x_t
    (``core.inpainting``); in a fifth of the samples all is a hole, so it draws from nothing too.

    Departures: trained from nothing and not from ``text-to-image``, which --start does.
    """
    config = text_to_image(dataset)
    hole = {"name": "inpainting", "everything": 0.2, "drop": 0.0}
    return {**config, "conditions": {**config["conditions"], "hole": hole}}


def told(dataset: Dataset) -> Config:
    """The conditions of a data set, the tokens of its captions projected to ``TOKEN_WIDTH``."""
    return {
        name: {**part, "token_width": TOKEN_WIDTH} if name == "text" else part
        for name, part in conditions(dataset).items()
    }
