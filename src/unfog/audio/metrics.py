"""Measures of sounds: distances of spectra, and how much of a sound is left in an estimate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.shapes import sum_per_sample

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # window and hop (Yamamoto et al. 2020)
LEAST = 1e-5  # of a magnitude


def log_spectral_distance(a: Tensor, b: Tensor) -> float:
    """The root mean square difference of two power spectra of one shape, in dB."""
    tiny = torch.finfo(a.dtype).tiny
    ratio = 10 * (a.clamp(min=tiny) / b.clamp(min=tiny)).log10()
    return math.sqrt(float(ratio.square().mean()))


def stft_distance(x: Tensor, reference: Tensor) -> Tensor:
    """The multi-resolution STFT distance of each sound (Yamamoto et al. 2020, arXiv:1910.11480):
    the mean over windows of 512, 1024 and 2048 samples of

        |S - S'| / |S'| + mean |log S - log S'|,   S and S' magnitudes.

    Args:
        x: Sounds, (batch, channels, samples).
        reference: The true ones, shaped alike.

    Returns:
        (batch,).
    """
    total = torch.zeros(len(x), dtype=x.dtype)
    for window, hop in RESOLUTIONS:
        s, true = (_magnitudes(one, window, hop) for one in (x, reference))
        convergence = ((s - true).square().sum((1, 2)) / true.square().sum((1, 2))).sqrt()
        logarithms = (s.log() - true.log()).abs().mean((1, 2))
        total += (convergence + logarithms) / len(RESOLUTIONS)
    return total


def _magnitudes(x: Tensor, window: int, hop: int) -> Tensor:
    """(batch, frequencies, frames) of the mean of the channels."""
    w = torch.hann_window(window, dtype=x.dtype)
    s = torch.stft(x.mean(1), window, hop, window=w, return_complex=True, pad_mode="constant")
    return s.abs().clamp(min=LEAST)


def si_sdr(x: Tensor, reference: Tensor) -> Tensor:
    """The scale-invariant signal-to-distortion ratio of each estimate (Le Roux et al. 2019), in dB,

        10 log10 |c s|^2 / |c s - x|^2,   c = <x, s> / |s|^2,   both without their means.

    Args:
        x: Estimates, (batch, channels, samples).
        reference: s, shaped alike.

    Returns:
        (batch,).
    """
    x, s = (one - one.mean(-1, keepdim=True) for one in (x.double(), reference.double()))
    scale = sum_per_sample(x * s) / sum_per_sample(s * s)
    target = scale.view(-1, *(1,) * (s.ndim - 1)) * s
    return 10 * (sum_per_sample(target**2) / sum_per_sample((target - x) ** 2)).log10()


def seam_energy(x: Tensor, seams: list[int], reach: int = 8) -> float:
    """How rough a sound is at its seams: the mean square of its second differences within ``reach``
    samples of them, over that elsewhere; 1 where none shows.

    Args:
        x: The sound, (samples,).
        seams: Where windows meet.
        reach: Samples on either side.

    Returns:
        The ratio.
    """
    rough = x.double().diff(n=2).square()
    near = torch.zeros(len(rough), dtype=torch.bool)
    for seam in seams:
        near[max(0, seam - 1 - reach) : seam - 1 + reach] = True
    return float(rough[near].mean() / rough[~near].mean())
