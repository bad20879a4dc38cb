r"""Loudness by ITU-R BS.1770-4, as EBU R128 asks for it.

Each channel passes two filters, a shelf for the head and a high pass (K weighting); its power z in
blocks of 400 ms that overlap by 3/4 gives a block's loudness

    l = -0.691 + 10 log10 sum_channels z,

and the mean power of the blocks above -70 LUFS, and then of those within 10 LU of that mean,
is the integrated loudness.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unfog.audio.sounds.sound import Sound

BLOCK, STEP = 0.4, 0.1  # seconds
QUIET, RELATIVE = -70.0, -10.0  # LUFS and LU
OFFSET = -0.691


def integrated_loudness(sound: Sound) -> float:
    """The loudness of a sound in LUFS; minus infinity where it is silent, or shorter than 0.4 s."""
    from scipy.signal import lfilter

    x = sound.samples.astype(np.float64)
    for numerator, denominator in (_shelf(sound.rate), _high_pass(sound.rate)):
        x = lfilter(numerator, denominator, x, axis=1)
    block, step = round(BLOCK * sound.rate), round(STEP * sound.rate)
    if x.shape[1] < block:
        return -math.inf
    # The mean power of every block, by differences of its running sum.
    total = np.concatenate([[0.0], (x**2).sum(0).cumsum()])
    starts = np.arange(0, x.shape[1] - block + 1, step)
    power = (total[starts + block] - total[starts]) / block
    power = power[power > _power(QUIET)]
    if not len(power):
        return -math.inf
    gate = power.mean() * 10 ** (RELATIVE / 10)
    return _loudness(float(power[power > gate].mean()))


def _loudness(power: float) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))


Filter = tuple[NDArray[np.float64], NDArray[np.float64]]


def _shelf(rate: int) -> Filter:
    """The first stage: +4 dB above about 1.7 kHz; the standard's filter at 48 kHz, for any rate by
    the bilinear transform.
    """
    centre, gain, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = math.tan(math.pi * centre / rate)
    high = 10 ** (gain / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / quality + k * k
    b = [high + middle * k / quality + k * k, 2 * (k * k - high)]
    b += [high - middle * k / quality + k * k]
    a = [a0, 2 * (k * k - 1), 1 - k / quality + k * k]
    return np.array(b) / a0, np.array(a) / a0


def _high_pass(rate: int) -> Filter:
    """The second stage: a high pass at about 38 Hz, likewise."""
    centre, quality = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * centre / rate)
    a0 = 1 + k / quality + k * k
    a = np.array([a0, 2 * (k * k - 1), 1 - k / quality + k * k])
    return np.array([1.0, -2.0, 1.0]), a / a0
