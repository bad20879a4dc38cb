"""The tempo of a loop, and the condition that tells it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unfog.audio.mel import MelScale
from unfog.audio.sounds.sound import Sound
from unfog.core.conditioning import Context
from unfog.core.conditions import VectorCondition, conditions

NAME, KIND = "tempo", "tempo"
SECTION = {"name": KIND}
USUAL, WIDTH = 120.0, 0.9  # beats a minute, and octaves about it (Ellis 2007)
SLOW, FAST = 60.0, 240.0


def tempo_of(sound: Sound) -> float:
    """The tempo of a sound in beats a minute, between 60 and 240: the lag at which the
    autocorrelation of its onset strength is largest, weighted by a bell about 120 (Ellis 2007).
    """
    scale = MelScale(sound.rate)
    m = scale.log_mel(torch.from_numpy(sound.mono.samples[0]))
    # Onsets: how much louder the bands become from frame to frame.
    onset = m.diff(dim=-1).clamp(min=0).mean(0).double().numpy()
    onset = onset - onset.mean()
    correlation = np.correlate(onset, onset, "full")[len(onset) - 1 :]
    lags = np.arange(1, len(correlation))
    tempo = 60 * sound.rate / (scale.hop * lags)
    weight = np.exp(-0.5 * (np.log2(tempo / USUAL) / WIDTH) ** 2)
    within = (tempo >= SLOW) & (tempo <= FAST)
    if not within.any():
        return USUAL
    return float(tempo[np.where(within, correlation[1:] * weight, -np.inf).argmax()])


@conditions.register(KIND)
class TempoCondition(VectorCondition):
    """A tempo (batch, 1) in beats a minute, which the network is told in octaves from 120.

    Args:
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, width: int, null: str = "learned") -> None:
        super().__init__(1, width, null)

    def embed(self, value: Tensor) -> Context:
        return super().embed((value.clamp(min=1.0) / USUAL).log2())
