"""The recipe of DynamiCrafter: a picture animated, trained small on a CPU."""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, training
from unfog.systems.registry import Config, system
from unfog.video import frame_codec  # noqa: F401  (registers the latent space)
from unfog.video.dynamicrafter import conditions as _  # noqa: F401  (registers what it is told)
from unfog.video.dynamicrafter import network, rescaled  # noqa: F401  (likewise)

KNOWN, IMAGE, RATE = "frames", "image", "fps"  # names of conditions
TOKEN_WIDTH = 128
DROP = 0.15  # of the picture's tokens, and of what else a clip is told
ATTENDED = 256  # places of a frame from which down there are transformers


@system(
    "dynamicrafter",
    "a picture animated: a video model told a frame in two ways, a text and a frame rate",
    "Xing et al. 2023, arXiv:2310.12190",
    data="moving-fashion",
    text="minilm",
)
def dynamicrafter(dataset: Dataset) -> Config:
    """DynamiCrafter: the first frame beside the noise in every frame, which is never hidden, and as
    tokens by a query transformer to an attention of its own; v-prediction with zero terminal SNR on
    Stable Diffusion's table; 50 steps of DDIM.

    Departures: a network of 32 channels; patches of the first frame itself in place of OpenCLIP's
    tokens; the picture and what else a clip is told are hidden by themselves, each with probability
    .15, and the frame rate never; of a third of the clips the first and the last frame are shown
    instead, so that one model animates and interpolates; the signal is not rescaled.
    """
    if len(dataset.shape) != 4:
        raise InputError(
            f"The data set {dataset.name!r} holds samples {dataset.shape}, and this system is for "
            "clips, (channels, frames, height, width)."
        )
    channels, frames, *space = dataset.shape
    levels = max(1, min(4, min(space).bit_length() - 2))
    places = [(-(-space[0] // 2**k)) * (-(-space[1] // 2**k)) for k in range(levels)]
    return {
        "process": {"name": "zero-snr", "table": "ddpm-scaled-linear"},
        "prediction": {"name": "v"},
        "label": {"name": "time"},
        "network": {
            "name": "dynamicrafter",
            "channels": 32,
            "multipliers": [1, 2, 3, 4][:levels],
            "blocks": 1,
            "attention_levels": [k for k, count in enumerate(places) if count <= ATTENDED],
            "head_dim": 32,
            "entry_heads": 1,
            "groups": 8,
        },
        "conditions": told(dataset, channels, frames, min(space)),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform", "steps": 1000},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(batch=8, lr=1e-3, warmup=200, ema=0.999, ema_power=17.0),
        "sampling": {"sampler": "ddim", "steps": 50, "grid": "trailing"},
    }


def told(dataset: Dataset, channels: int, frames: int, side: int) -> Config:
    """The conditions of a model of clips: the known frames, the picture, and those of the data.

    Args:
        dataset: The data.
        channels: Of a clip as the network sees it.
        frames: Of a clip.
        side: The shorter side of a frame.

    Returns:
        The section of the config.
    """
    own = conditions(dataset, DROP)
    rate = {RATE: {"name": "rate-waves", "drop": 0.0}} if own.pop(RATE, None) else {}
    if "text" in own:
        own["text"]["token_width"] = TOKEN_WIDTH
    queries = {
        "width": TOKEN_WIDTH,
        "depth": 2,
        "heads": 4,
        "head_dim": 32,
        "queries": 4,
        "frames": frames,
    }
    picture = {
        "name": "picture-tokens",
        "channels": channels,
        "patch": 4 if side >= 16 else 2,
        "token_width": TOKEN_WIDTH,
        "options": queries,
        "drop": DROP,
    }
    known = {"name": "known-frames", "channels": channels, "ends": 1 / 3, "drop": 0.0}
    return {KNOWN: known, IMAGE: picture, **rate, **own}
