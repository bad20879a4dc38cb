"""Score-based generative modelling through SDEs (Song et al. 2021), in continuous time: the
variance-exploding, the variance-preserving and the sub-variance-preserving SDE.

As in the paper, all learn the score by denoising score matching weighted by sigma^2 at uniform
times, and are sampled in 1000 steps. They depart from it in the network (a U-Net of 64 channels,
sized to the data, instead of NCSN++ or DDPM++) and in training (20 000 steps of 64 by AdamW with a
cosine decay, instead of 1.3 million steps of 128 by Adam).
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

PAPER = "Song et al. 2021, arXiv:2011.13456"


def _score_sde(
    dataset: Dataset, process: Config, label: Config, sampler: Config, ema: float
) -> Config:
    """The config that the three share, with what differs between them."""
    return {
        "process": process,
        "prediction": {"name": "noise"},
        "label": label,
        "network": unet(dataset, channels=64),
        "conditions": conditions(dataset),
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform"},
            "weight": {"name": "score-matching"},
        },
        "augment": {"name": "none"},
        "training": training(ema=ema),
        "sampling": {"sampler": sampler, "steps": 1000, "grid": {"name": "uniform"}},
    }


@system("score-sde-ve", "variance-exploding SDE, predictor-corrector sampling", PAPER)
def score_sde_ve(dataset: Dataset) -> Config:
    """The VE SDE with the paper's settings for 32 x 32 pictures: sigma from 0.01 to 50, EMA 0.999,
    and reverse diffusion with one Langevin correction a step at the signal-to-noise ratio 0.16.

    Departures: data are on the scale of their codec, mostly [-1, 1], not [0, 1]; the variance is
    that of the SDE begun at clean data, sigma^2(t) - sigma^2(0), so it is 0 at t = 0.
    """
    corrected = {
        "name": "predictor-corrector",
        "predictor": "reverse-diffusion",
        "snr": 0.16,
        "corrections": 1,
    }
    return _score_sde(
        dataset,
        {"name": "ve", "sigma_min": 0.01, "sigma_max": 50.0},
        {"name": "log-sigma"},
        corrected,
        ema=0.999,
    )


@system("score-sde-vp", "variance-preserving SDE, predictor-corrector sampling", PAPER)
def score_sde_vp(dataset: Dataset) -> Config:
    """The VP SDE of the paper: beta from 0.1 to 20, the noise label 999 t, EMA 0.9999, and reverse
    diffusion with one Langevin correction a step at the signal-to-noise ratio 0.16.
    """
    corrected = {
        "name": "predictor-corrector",
        "predictor": "reverse-diffusion",
        "snr": 0.16,
        "corrections": 1,
    }
    process = {"name": "vp-linear", "beta_min": 0.1, "beta_max": 20.0}
    return _score_sde(
        dataset, process, {"name": "time", "steps": 999.0, "offset": 0.0}, corrected, ema=0.9999
    )


@system("score-sde-subvp", "sub-variance-preserving SDE, Euler-Maruyama", PAPER)
def score_sde_subvp(dataset: Dataset) -> Config:
    """The sub-VP SDE of the paper: the drift of ``score-sde-vp`` with less noise, for better
    likelihoods; the noise label 999 t, EMA 0.9999, Euler-Maruyama.
    """
    process = {"name": "sub-vp", "beta_min": 0.1, "beta_max": 20.0}
    return _score_sde(
        dataset,
        process,
        {"name": "time", "steps": 999.0, "offset": 0.0},
        {"name": "euler-maruyama"},
        ema=0.9999,
    )
