"""Text to image: a small EDM that draws a picture for a caption, trained on a CPU."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, training, unet
from unfog.systems.edm import edm
from unfog.systems.registry import Config, system

SIGMA_DATA = 0.8  # deviation of pictures on white, with their mean
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

    Departures from Imagen and EDM: a U-Net of 32 channels on patches of 2 x 2 pixels, with position
    channels and a shortcut; the sentence encoder in place of T5; sigma_data = 0.8 and ln sigma ~
    N(-0.6, 1.5^2); batches of 8; an average of the weights over the last 18th of the steps; 24 Heun
    steps under guidance 3.
    """
    if not dataset.conditions:
        raise InputError(
            f"The data set {dataset.name!r} has no captions to learn text from; put a captions.csv "
            "beside the pictures and give --set data.captions=true."
        )
    return {
        **edm(dataset),
        "prediction": {"name": "edm", "sigma_data": SIGMA_DATA},
        "network": unet(
            dataset,
            32,
            multipliers=[1, 2, 3],
            blocks=1,
            attention_levels=[1, 2],
            head_dim=32,
            groups=8,
            patch=2,
            coordinates=True,
            octaves=2,
            shortcut=True,
        ),
        "conditions": told(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "log-normal", "mean": -0.6, "std": 1.5},
            "weight": {"name": "simple"},
        },
        "training": training(
            steps=14_000,
            batch=8,
            lr=2e-3,
            warmup=300,
            betas=[0.9, 0.99],
            ema=0.998,
            ema_power=17.0,
        ),
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
