"""Score-based generative modelling through SDEs (Song et al. 2021): one method, three diffusions,
in continuous time.

All learn the score by denoising score matching weighted by sigma^2, at uniform times. The
variance-exploding and the variance-preserving one are sampled by reverse diffusion with a Langevin
corrector, the sub-variance-preserving one by Euler-Maruyama, as its authors have it.
"""

from __future__ import annotations

from unfog.data.dataset import Dataset
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config, system

PAPER = "Song et al. 2021, arXiv:2011.13456"


def _score_sde(
    dataset: Dataset, process: Config, label: Config, sampler: Config, ema: float
) -> Config:
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
    """sigma from 0.01 to 50; the corrector's signal-to-noise ratio is 0.16."""
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
    """beta from 0.1 to 20; the network is told 999 t."""
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
    """The drift of ``score-sde-vp`` with less noise: made for likelihood."""
    process = {"name": "sub-vp", "beta_min": 0.1, "beta_max": 20.0}
    return _score_sde(
        dataset,
        process,
        {"name": "time", "steps": 999.0, "offset": 0.0},
        {"name": "euler-maruyama"},
        ema=0.9999,
    )
