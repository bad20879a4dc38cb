"""A sound of a spectrogram without a network (Griffin & Lim 1984; Perraudin et al. 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.audio.mel import MelScale

ITERATIONS = 60
MOMENTUM = 0.99
UPDATES = 30  # of the magnitudes that bands were made of


def griffin_lim(
    scale: MelScale, m: Tensor, samples: int, seed: int = 0, iterations: int = ITERATIONS
) -> Tensor:
    """Sounds whose log-mel spectrogram is nearly m.

    The magnitudes S >= 0 with F S = M come by multiplicative updates (Lee & Seung 2001); their
    phases by turns: to the spectrogram of a sound, and back to these magnitudes, with momentum.

    Args:
        scale: What m is made by.
        m: (batch, bands, frames) in [0, 1].
        samples: Of the sounds.
        seed: Of the first phases.
        iterations: Turns.

    Returns:
        (batch, samples), float32.
    """
    magnitude = _magnitudes(scale, scale.of_log(m.float().clamp(0, 1)))
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(magnitude.shape, generator=generator, dtype=torch.float32)
    phase = torch.polar(torch.ones_like(angle), 2 * torch.pi * angle)
    last = torch.zeros_like(phase)
    for _ in range(iterations):
        x = _sound(scale, magnitude * phase, samples)
        rebuilt = scale.spectrum(x)
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * last
        phase, last = moved / moved.abs().clamp(min=1e-16), rebuilt
    return _sound(scale, magnitude * phase, samples).float()


def _magnitudes(scale: MelScale, mel: Tensor) -> Tensor:
    """S >= 0 (batch, window / 2 + 1, frames) with F S nearly M (batch, bands, frames)."""
    f = scale.filters.to(mel)
    s: Tensor = (torch.linalg.pinv(f) @ mel).clamp(min=1e-8)
    target, gram = f.T @ mel, f.T @ f
    for _ in range(UPDATES):
        s = s * target / (gram @ s).clamp(min=1e-12)
    return s


def _sound(scale: MelScale, spectrum: Tensor, samples: int) -> Tensor:
    """The sound (batch, samples) of least squares whose spectrogram is nearest."""
    w = torch.hann_window(scale.window, dtype=spectrum.real.dtype)
    # One frame more, so that the last samples are covered.
    whole = torch.cat([spectrum, spectrum[..., -1:]], -1) * w.norm()
    x = torch.istft(whole, scale.window, scale.hop, window=w, center=True)
    return torch.nn.functional.pad(x, (0, max(0, samples - x.shape[-1])))[:, :samples]
