"""DALL-E 2, which its authors call unCLIP (Ramesh et al. 2022)."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, training, unet
from unfog.systems.imagen import SHORTCUTS, low_resolution
from unfog.systems.improved_ddpm import improved_ddpm
from unfog.systems.registry import Config, system

PAPER = "Ramesh et al. 2022, arXiv:2204.06125"


@system(
    "contrastive",
    "a joint encoder of pictures and text, for DALL-E 2's prior and decoder",
    "Radford et al. 2021, arXiv:2103.00020",
    trains="joint encoder",
    text="minilm",
)
def contrastive(dataset: Dataset) -> Config:
    """CLIP: a tower for pictures, one for text, and the symmetric contrastive loss with a learned
    temperature; learning rate 1e-3, weight decay 0.2.

    Departures: a convolutional tower of 32 channels on top of a frozen text encoder's states,
    vectors of 64 numbers, batches of 128 instead of 32768, 4000 steps.
    """
    name, part = _text_of(dataset)
    dims, side = len(dataset.shape) - 1, min(dataset.shape[1:])
    levels = max(1, min(4, side.bit_length() - 2))
    return {
        "joint_encoder": {
            "name": "contrastive",
            "token_width": max(part["size"], part.get("pooled_size", 0)),
            "dims": dims,
            "multipliers": [1, 2, 2, 4][:levels],
        },
        "objective": {"name": "contrastive", "condition": name},
        "augment": {"name": "none"},
        "training": training(
            steps=4000, batch=128, lr=1e-3, warmup=200, weight_decay=0.2, ema=0.998
        ),
    }


def _text_of(dataset: Dataset) -> tuple[str, Config]:
    """The name and config of the condition that is a text; ``InputError`` where there is none."""
    for name, part in dataset.conditions.items():
        if part["name"] in ("tokens", "sequence"):
            return name, part
    raise InputError(
        f"The data set {dataset.name!r} has no captions, which a joint encoder learns from; take "
        "data with captions."
    )


@system(
    "dalle2-prior",
    "DALL-E 2's diffusion prior: embeddings of images by text",
    PAPER,
    codec="joint-encoder",
    text="minilm",
)
def dalle2_prior(dataset: Dataset) -> Config:
    """The diffusion prior: a causal transformer that predicts x_0, an image's embedding, on the
    cosine process, text dropped with probability .1.

    Departures: 4 blocks of width 128 instead of 24 of 2048, 32 steps of DPM-Solver++(2M) instead
    of 64 of Analytic DPM, 10 000 steps of 128.
    """
    return {
        "process": {"name": "vp-cosine"},
        "prediction": {"name": "x0"},
        "label": {"name": "time"},
        "network": {"name": "prior-transformer", "depth": 4, "width": 128, "heads": 4},
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform"},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(steps=10_000, batch=128, lr=1e-3, ema=0.999),
        "sampling": {"sampler": "dpmpp-2m", "steps": 32, "grid": "uniform"},
    }


TOKEN_WIDTH = 128  # of the embedding's tokens and of the text's


@system(
    "dalle2-decoder",
    "DALL-E 2's decoder: pictures by embedding (--set encoder.run=RUN)",
    PAPER,
    encoder=True,
)
def dalle2_decoder(dataset: Dataset) -> Config:
    """The decoder: Improved DDPM's process, loss and network with cross-attention at the two lower
    levels; the embedding of the picture is added to the time embedding and stands among the tokens
    four times, dropped with probability .1, a text with .5; estimates are clipped in sampling.

    Departures: those of ``improved-ddpm``.
    """
    parts = {
        name: {**part, "drop": 0.5} if part["name"] in ("tokens", "sequence") else part
        for name, part in conditions(dataset).items()
    }
    for name, part in parts.items():
        # All tokens have one width.
        width = {"tokens": "width", "sequence": "token_width", "embedding": "token_width"}
        if part["name"] in width:
            parts[name] = {**part, width[part["name"]]: TOKEN_WIDTH}
    network = unet(dataset, channels=64)
    lowest = len(network["multipliers"]) - 1
    attentive = sorted({max(lowest - 1, 0), lowest})
    shared = improved_ddpm(dataset)
    return {
        **shared,
        "network": {**network, "attention_levels": attentive},
        "conditions": parts,
        "sampling": {**shared["sampling"], "clip": 1.0},
    }


@system("dalle2-upsampler", "DALL-E 2's upsampler, trained on degraded pictures", PAPER)
def dalle2_upsampler(dataset: Dataset) -> Config:
    """Super-resolution by 4 without text: noise prediction on the cosine table, the small picture
    blurred by a Gaussian of up to 1.2 points and with noise of a level up to .3 in training.

    Departures: those of ``improved-ddpm``, without its learned variance; shortcuts past the network
    for x and for the small picture; 27 steps of DDIM as in the
    paper; the second upsampler is this recipe on larger pictures, degraded by ``bsr``.
    """
    shared = improved_ddpm(dataset)
    del shared["variance"]
    return {
        **shared,
        "network": unet(
            dataset, channels=64, attention_levels=[], middle_attention=False, **SHORTCUTS
        ),
        "conditions": {"low": low_resolution(dataset, blur=1.2, level=0.3)},
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform", "steps": 1000},
            "weight": {"name": "simple"},
        },
        "sampling": {
            "sampler": "ddim",
            "steps": 27,
            "grid": {"name": "trailing", "knots": 1000},
            "clip": 1.0,
        },
    }
