r"""Priors of sounds whose spectrum is known: autoregressive noise, and harmonic tones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.oracle import StationaryDenoiser
from unfog.core.process import Process
from unfog.errors import InputError


def ar_spectrum(samples: int, coefficients: Sequence[float], deviation: float = 0.1) -> Tensor:
    """The variance of each Fourier mode of an autoregressive sound on a circle,

        x_t = sum_k a_k x_(t-k) + n_t,    P(f) ~ 1 / |1 - sum_k a_k exp(-i 2 pi f k)|^2,

    scaled so that a sample has the given deviation. AR(2) has one resonance, as a formant.

    Args:
        samples: Of the sound.
        coefficients: a_1, a_2, ...
        deviation: Of a sample.

    Returns:
        P (samples,), float64, which sums to ``deviation``^2.

    Raises:
        InputError: The sound would grow without bound.
    """
    a = torch.tensor(coefficients, dtype=torch.float64)
    companion = torch.cat([a[None], torch.eye(len(a), dtype=torch.float64)[:-1]])
    if float(torch.linalg.eigvals(companion).abs().max()) >= 1:
        raise InputError(f"An autoregressive sound with {list(coefficients)} grows without bound.")
    f = torch.arange(samples, dtype=torch.float64) / samples
    k = torch.arange(1, len(a) + 1, dtype=torch.float64)
    turns = torch.exp(-2j * torch.pi * f[:, None] * k)
    power = 1 / (1 - turns @ a.to(turns)).abs().square()
    return deviation**2 * power / power.sum()


def harmonic_spectrum(
    samples: int, tone: int, count: int = 8, fall: float = 6.0, deviation: float = 0.1
) -> Tensor:
    """The variance of each Fourier mode of a harmonic sound: ``count`` tones at multiples of a
    pitch, each of Gaussian amplitude and even phase, over noise 40 dB below the first.

    Args:
        samples: Of the sound.
        tone: The pitch, in periods of the whole sound.
        count: Tones.
        fall: Decibels from an octave to the next.
        deviation: Of a sample.

    Returns:
        P (samples,), float64, which sums to ``deviation``^2.

    Raises:
        InputError: The highest tone is beyond half the rate.
    """
    if tone * count >= samples // 2:
        raise InputError(f"{count} tones of pitch {tone} do not fit into {samples} samples.")
    number = torch.arange(1, count + 1)
    level = 10 ** (-fall * number.double().log2() / 10)
    power = torch.full((samples,), 1e-4, dtype=torch.float64)
    power[tone * number] += level
    power[samples - tone * number] += level
    return deviation**2 * power / power.sum()


def sound_oracle(process: Process, power: Tensor) -> StationaryDenoiser:
    """The exact denoiser of sounds (batch, 1, samples) of a known spectrum, (samples,)."""
    return StationaryDenoiser(process, power)


def periodogram(x: Tensor) -> Tensor:
    """The mean over sounds (batch, 1, samples) of the power of each Fourier mode, (samples,), on
    the scale of the spectra here.
    """
    modes = torch.fft.fft(x[:, 0].double()) / x.shape[-1]
    power: Tensor = modes.abs().square().mean(0)
    return power
