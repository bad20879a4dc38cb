"""Loudness by ITU-R BS.1770-4, as EBU R128 asks for it."""

from __future__ import annotations

import math

from unfog.audio.sounds.libraries import library
from unfog.audio.sounds.sound import Sound

BLOCK = 0.4  # seconds
FILTERS = "DeMan"  # the standard's own K weighting at any rate, as the library calls it


def integrated_loudness(sound: Sound) -> float:
    """The loudness of a sound in LUFS; minus infinity where it is silent, or shorter than 0.4 s."""
    if sound.samples.shape[1] < math.ceil(BLOCK * sound.rate):
        return -math.inf
    meter = library("pyloudnorm").Meter(sound.rate, filter_class=FILTERS, block_size=BLOCK)
    return float(meter.integrated_loudness(sound.samples.T.astype("float64")))
