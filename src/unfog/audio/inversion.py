"""From spectrograms to sounds: by a vocoder, or by Griffin and Lim's method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.audio import mel_condition
from unfog.audio.griffin_lim import griffin_lim
from unfog.audio.mel import MelScale
from unfog.audio.mel_condition import MelCondition
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.sampling.sdedit import sdedit

GRIFFIN_LIM = "griffin-lim"  # what a vocoder may begin from
DRAWS = 4  # of a vocoder that begins from it, whose mean magnitudes are kept


def mel_scale_of(run: Run) -> MelScale:
    """The spectrogram that a vocoder takes; ``InputError`` for a run that is none."""
    part = dict(run.denoiser.conditioner.named()).get(mel_condition.NAME)
    if not isinstance(part, MelCondition):
        raise InputError(
            f"{run.name} is no vocoder: it is told no spectrogram; train diffwave, or "
            "diffwave-small."
        )
    return part.scale


def vocode(
    vocoder: Run,
    m: Tensor,
    samples: int,
    plan: Plan,
    seed: int = 0,
    *,
    ids: Sequence[int] | None = None,
    report: Report | None = None,
) -> Tensor:
    """Sounds of log-mel spectrograms by a vocoder: drawn from noise, or, where its sampling says
    ``begin: griffin-lim``, several times from the sound of Griffin and Lim's method with noise,
    after which mean magnitudes are made to agree with the spectrogram, and phases with them
    (after Liu et al. 2024, arXiv:2402.15516).

    Args:
        vocoder: A run that is told spectrograms.
        m: (batch, bands, frames) in [0, 1].
        samples: Of a sound.
        plan: Sampler and times.
        seed: Sound k depends on (seed, its number) alone.
        ids: The sounds' numbers; from 0 by default.
        report: Told (steps done, steps in all).

    Returns:
        (batch, 1, samples).
    """
    scale, numbers = mel_scale_of(vocoder), range(len(m)) if ids is None else ids
    if vocoder.config["sampling"].get("begin") != GRIFFIN_LIM:
        told = {mel_condition.NAME: m.float()}
        shape = (vocoder.shape[0], samples)
        return draw(vocoder, plan, numbers, seed, condition=told, shape=shape, report=report)
    # Noise is added to a first sound, and taken away again: each time another sound and noise.
    pairs = [
        _drawn_from(vocoder, m, samples, plan, seed + k, numbers, report) for k in range(DRAWS)
    ]
    first, drawn = (torch.stack(sounds) for sounds in zip(*pairs, strict=True))
    # What the spectrogram tells is as it says. The rest is the geometric mean of two estimates of
    # the magnitude: rough ones that were drawn, and smooth ones of Griffin and Lim's method.
    means = [torch.stack([scale.spectrum(x).abs() for x in one]).mean(0) for one in (first, drawn)]
    near = (means[0] * means[1]).sqrt()
    return griffin_lim(scale, m, samples, start=drawn[0], near=near)[:, None]


def _drawn_from(
    vocoder: Run,
    m: Tensor,
    samples: int,
    plan: Plan,
    seed: int,
    numbers: Sequence[int],
    report: Report | None,
) -> tuple[Tensor, Tensor]:
    """Sounds (batch, samples) by Griffin and Lim's method, and drawn from them with noise."""
    first = griffin_lim(mel_scale_of(vocoder), m, samples, seed)
    drawn = sdedit(
        vocoder.denoiser,
        vocoder.codec.encode(first[:, None]),
        plan.grid,
        plan.sampler,
        strength=1.0,
        randomness=generators(seed, numbers),
        condition={mel_condition.NAME: m.float()},
        report=report,
    )
    return first, vocoder.codec.decode(drawn).float()[:, 0]


def inverted(
    scale: MelScale, m: Tensor, samples: int, vocoder: Run | None, seed: int = 0
) -> Tensor:
    """Sounds (batch, channels, samples) of spectrograms (batch, channels, bands, frames).

    Args:
        scale: What the spectrograms are made by.
        m: In [0, 1].
        samples: Of a sound.
        vocoder: A run that is told such spectrograms; None for Griffin and Lim's method.
        seed: Of the sounds.

    Returns:
        The sounds.

    Raises:
        InputError: The vocoder takes other spectrograms.
    """
    flat = m.flatten(0, 1)
    if vocoder is None:
        return griffin_lim(scale, flat, samples, seed).reshape(*m.shape[:2], -1)
    taken = mel_scale_of(vocoder)
    if taken != scale:
        raise InputError(
            f"{vocoder.name} takes spectrograms of {taken.rate} samples a second and "
            f"{taken.bands} bands, and these have {scale.rate} and {scale.bands}; "
            "train one on the same sounds."
        )
    return vocode(vocoder, flat, samples, Plan.of(vocoder), seed).reshape(*m.shape[:2], -1)
