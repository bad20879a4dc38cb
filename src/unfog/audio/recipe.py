"""The recipes of sound: DiffWave, a prior of samples, and diffusion of spectrograms in latents."""

from __future__ import annotations

from unfog.audio import (  # noqa: F401  (each registers its names)
    complex_codec,
    data,
    diffwave,
    mel_codec,
    mel_condition,
    schedule,
)
from unfog.audio.inversion import GRIFFIN_LIM
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.common import conditions, log_normal_denoising, training, unet
from unfog.systems.latent_diffusion import autoencoder_kl
from unfog.systems.registry import Config, system

PAPER = "Kong et al. 2021, arXiv:2009.09761"
SMALL: Config = {"channels": 32, "layers": 20, "cycle": 10}
SIGMA_DATA = 0.2  # deviation of speech whose peak is .9, without the silence about it
TOKEN_WIDTH = 128  # that the encoder's tokens are projected to


def rate_of(dataset: Dataset) -> int:
    """Samples a second of a data set of sounds; ``InputError`` for one of anything else."""
    if len(dataset.shape) != 2 or dataset.voxel is None:
        raise InputError(
            f"This recipe is for sounds (channels, samples), and samples of {dataset.name} are "
            f"{tuple(dataset.shape)}; give a folder of sounds, speech, or sounds."
        )
    return round(1 / dataset.voxel[0])


def _diffwave(dataset: Dataset, told: Config, network: Config, **learning: object) -> Config:
    """DiffWave's sections with these conditions and sizes of the network."""
    rate_of(dataset)
    return {
        "process": {"name": "ddpm-linear", "beta_start": 1e-4, "beta_end": 0.05, "steps": 50},
        "prediction": {"name": "noise"},
        "label": {"name": "diffwave"},
        "network": {"name": "diffwave", "dims": 1, **network},
        "conditions": told,
        "objective": {
            "name": "denoising",
            "times": {"name": "uniform", "steps": 50},
            "weight": {"name": "simple"},
        },
        "augment": {"name": "none"},
        "training": training(**learning),
        "sampling": {"sampler": "ddpm", "steps": 6, "grid": "betas"},
    }


def _mel(dataset: Dataset) -> Config:
    """The spectrogram as the only condition: a vocoder has no need of a class."""
    return {mel_condition.NAME: {"name": "mel", "rate": rate_of(dataset), "drop": 0.0}}


@system(
    "diffwave",
    "DiffWave as published, a vocoder: sounds of log-mel spectrograms, in 6 steps",
    PAPER,
    data="speech",
)
def diffwave_vocoder(dataset: Dataset) -> Config:
    """DiffWave BASE (Kong et al. 2021): 30 layers of 64 channels, dilations 1 to 512 three times
    over, a spectrogram of 80 bands at a hop of 256, beta linear from 1e-4 to .05 over 50 steps,
    Adam at 2e-4, batches of 16, and the 6-step schedule.

    Departures: the state at the noisiest step has the deviation that the schedule gives it there,
    where the authors' sampler starts from 1; nothing is clipped on the way; 200 000 steps of the
    paper's million.
    """
    sizes = {"channels": 64, "layers": 30, "cycle": 10}
    return _diffwave(dataset, _mel(dataset), sizes, steps=200_000, batch=16, lr=2e-4)


@system(
    "diffwave-small",
    "a small DiffWave vocoder, trained on a CPU",
    PAPER,
    data="speech",
)
def diffwave_small(dataset: Dataset) -> Config:
    """``diffwave`` with 20 layers of 32 channels, trained for 4000 steps of 4 clips at a higher
    rate with a shorter average; clips of 4096 samples (--set data.frames=4096) are enough.
    """
    return _diffwave(
        dataset, _mel(dataset), SMALL, steps=4_000, batch=4, lr=1e-3, ema=0.999, warmup=200
    )


@system(
    "diffwave-class",
    "a small DiffWave of samples by class, or unconditional where there are none",
    PAPER,
    data="speech",
)
def diffwave_class(dataset: Dataset) -> Config:
    """Class-conditional DiffWave (Kong et al. 2021, section 5.3): an embedding of the class in each
    layer, 50 steps; unconditional where the data have no classes.

    Departures: ``diffwave-small``'s sizes and training, with a third cycle of dilations; the paper
    has 36 layers of 256 channels and 200 steps. Classes are dropped with probability .1, for
    guidance.
    """
    network = {**SMALL, "layers": 30}
    told = conditions(dataset)
    config = _diffwave(
        dataset, told, network, steps=12_000, batch=4, lr=1e-3, ema=0.999, warmup=200
    )
    return {**config, "sampling": {"sampler": "ddpm", "steps": 50, "grid": {"name": "uniform"}}}


@system(
    "sound-vocoder",
    "a small EDM of samples told a log-mel spectrogram: a vocoder, trained on a CPU",
    "Karras et al. 2022, arXiv:2206.00364; Kong et al. 2021, arXiv:2009.09761",
    data="speech",
)
def sound_vocoder(dataset: Dataset) -> Config:
    """``sound-prior`` told the spectrogram of DiffWave, from whose weights it may begin
    (--start RUN): a call costs a sixth of ``diffwave-small``'s. Noise is added to the sound of
    Griffin and Lim's method and taken away again (Liu et al. 2024, arXiv:2402.15516). Clips of
    8192 samples (--set data.frames=8192) are enough.

    Departures: those of ``sound-prior``.
    """
    told = {mel_condition.NAME: {"name": "mel-features", "rate": rate_of(dataset), "drop": 0.0}}
    grid = {"name": "karras", "sigma_max": 0.1, "sigma_min": 5e-4}
    sampling = {"sampler": "heun", "steps": 4, "grid": grid, "begin": GRIFFIN_LIM}
    return {**_samples_by_edm(dataset, told, batch=4), "sampling": sampling}


@system(
    "sound-prior",
    "a small EDM of samples, for restoring sounds",
    "Karras et al. 2022, arXiv:2206.00364",
    data="speech",
)
def sound_prior(dataset: Dataset) -> Config:
    """An EDM of samples by a one-dimensional U-Net on patches of 8 samples: what ``unfog restore``
    of a sound takes for its prior. Unconditional, so that it knows any sound of its kind.

    Departures: sigma_data = .2, the deviation of speech whose peak is .9, and
    ln sigma ~ N(-3, 1.5^2) about it.
    """
    return _samples_by_edm(dataset, {}, batch=8)


def _samples_by_edm(dataset: Dataset, told: Config, batch: int) -> Config:
    """EDM of samples with these conditions, by a U-Net on patches."""
    rate_of(dataset)
    return {
        "process": {"name": "edm", "sigma_max": 8.0},
        "prediction": {"name": "edm", "sigma_data": SIGMA_DATA},
        "label": {"name": "log-sigma"},
        "network": unet(
            dataset,
            channels=64,
            multipliers=[1, 2, 2, 2],
            blocks=1,
            groups=8,
            patch=8,
            shortcut=True,
            detail=SIGMA_DATA,
            attention_levels=[3],
            head_dim=32,
        ),
        "conditions": told,
        "objective": log_normal_denoising(mean=-3.0, std=1.5),
        "augment": {"name": "none"},
        "training": training(
            steps=12_000, batch=batch, lr=1e-3, warmup=200, betas=[0.9, 0.99], ema=0.999
        ),
        "sampling": {
            "sampler": "heun",
            "steps": 18,
            "grid": {"name": "karras", "sigma_max": 8.0, "sigma_min": 4e-4},
        },
    }


@system(
    "mel-autoencoder",
    "a KL-regularised autoencoder of log-mel spectrograms, for audio-latent",
    "Rombach et al. 2022, arXiv:2112.10752; Liu et al. 2023, arXiv:2301.12503",
    codec="mel",
    trains="autoencoder",
    data="speech",
)
def mel_autoencoder(dataset: Dataset) -> Config:
    """``autoencoder-kl`` on spectrograms of 80 bands, as AudioLDM's: f4 along bands and frames.

    Departures: those of ``autoencoder-kl``; no perceptual distance, which is one of pictures.
    """
    return _of_spectrograms(dataset)


@system(
    "complex-autoencoder",
    "a KL-regularised autoencoder of complex spectrograms, for audio-latent without a vocoder",
    "Rombach et al. 2022, arXiv:2112.10752; Richter et al. 2023, arXiv:2208.05830",
    codec="complex-spectrogram",
    trains="autoencoder",
    data="speech",
)
def complex_autoencoder(dataset: Dataset) -> Config:
    """``autoencoder-kl`` on real and imaginary parts of spectrograms under a root of the magnitude:
    what it decodes to is a sound, by the inverse transform.

    Departures: those of ``autoencoder-kl``; no perceptual distance, which is one of pictures.
    """
    return _of_spectrograms(dataset)


def _of_spectrograms(dataset: Dataset) -> Config:
    """``autoencoder-kl`` of two axes, without features of pictures."""
    config = autoencoder_kl(dataset)
    config["autoencoder"] |= {"dims": 2}
    config["objective"] |= {"features": {"name": "none"}}
    return config


@system(
    "audio-latent",
    "sounds by caption or class: diffusion in latents of spectrograms (--set codec.run=RUN)",
    "Liu et al. 2023, arXiv:2301.12503; Rombach et al. 2022, arXiv:2112.10752",
    codec="autoencoder",
    data="sounds",
    text="minilm",
)
def audio_latent(dataset: Dataset) -> Config:
    """Latent diffusion of spectrograms (AudioLDM): EDM in the latents of ``mel-autoencoder`` or
    ``complex-autoencoder``, told the caption by cross-attention, the class, or the tempo, each
    dropped with probability .1 for guidance. A mel spectrogram becomes a sound by a vocoder
    (``--vocoder``), a complex one by the inverse transform.

    Departures: a U-Net of 72 channels; the sentence encoder in place of CLAP; EDM's
    preconditioning with sigma_data 1.
    """
    if len(dataset.shape) != 3:
        raise InputError(
            "This system draws latents of spectrograms; give the run of a mel-autoencoder or "
            "complex-autoencoder: --set codec.run=RUN."
        )
    told = {
        name: {**part, "token_width": TOKEN_WIDTH} if name == "text" else part
        for name, part in conditions(dataset).items()
    }
    sizes = {"multipliers": [1, 2], "attention_levels": [0, 1], "head_dim": 36}
    return {
        "process": {"name": "edm"},
        "prediction": {"name": "edm", "sigma_data": 1.0},
        "label": {"name": "log-sigma"},
        "network": unet(dataset, 72, blocks=1, groups=8, shortcut=True, **sizes),
        "conditions": told,
        "objective": log_normal_denoising(mean=0.2, std=1.2),
        "augment": {"name": "none"},
        "training": training(
            steps=8_000, batch=8, lr=1e-3, warmup=200, betas=[0.9, 0.99], ema=0.998
        ),
        "sampling": {
            "sampler": "heun",
            "steps": 18,
            "grid": {"name": "karras", "sigma_max": 40.0},
            "guidance": 3.0,
        },
    }
