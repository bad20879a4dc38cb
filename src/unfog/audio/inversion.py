"""From spectrograms to sounds: by a vocoder, or by Griffin and Lim's method."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from unfog.audio import mel_condition
from unfog.audio.griffin_lim import griffin_lim
from unfog.audio.mel import MelScale
from unfog.audio.mel_condition import MelCondition
from unfog.errors import InputError
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


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
    """Sounds of log-mel spectrograms by a vocoder.

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
    mel_scale_of(vocoder)
    return draw(
        vocoder,
        plan,
        range(len(m)) if ids is None else ids,
        seed,
        condition={mel_condition.NAME: m.float()},
        shape=(vocoder.shape[0], samples),
        report=report,
    )


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
