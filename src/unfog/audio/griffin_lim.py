"""A sound of a spectrogram without a network (Griffin & Lim 1984; Perraudin et al. 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.audio.mel import MelScale

ITERATIONS = 60
MOMENTUM = 0.99
UPDATES = 30  # of the magnitudes that bands were made of


def griffin_lim(
    scale: MelScale,
    m: Tensor,
    samples: int,
    seed: int = 0,
    iterations: int = ITERATIONS,
    start: Tensor | None = None,
    near: Tensor | None = None,
) -> Tensor:
    """Sounds whose log-mel spectrogram is nearly m.

    The magnitudes S >= 0 with F S = M come by multiplicative updates (Lee & Seung 2001); their
    phases by turns: to the spectrogram of a sound, and back to these magnitudes, with momentum. A
    sound to start from gives the first magnitudes and phases, and what the bands do not tell stays
    as it has it (as after each step of a vocoder: Liu et al. 2024, arXiv:2402.15516).

    Args:
        scale: What m is made by.
        m: (batch, bands, frames) in [0, 1].
        samples: Of the sounds.
        seed: Of the first phases.
        iterations: Turns.
        start: Sounds (batch, samples); random phases by default.
        near: Magnitudes (batch, window / 2 + 1, frames) that S is near to; those of ``start`` by
            default.

    Returns:
        (batch, samples), float32.
    """
    mel = scale.of_log(m.float().clamp(0, 1))
    if start is None:
        magnitude = _magnitudes(scale, mel, torch.linalg.pinv(scale.filters.to(mel)) @ mel)
        generator = torch.Generator().manual_seed(seed)
        angle = torch.rand(magnitude.shape, generator=generator, dtype=torch.float32)
        phase = torch.polar(torch.ones_like(angle), 2 * torch.pi * angle)
        last = torch.zeros_like(phase)
    else:
        last = scale.spectrum(start.float())
        magnitude = _magnitudes(scale, mel, last.abs() if near is None else near)
        phase = last / last.abs().clamp(min=1e-16)
    for _ in range(iterations):
        x = _sound(scale, magnitude * phase, samples)
        rebuilt = scale.spectrum(x)
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * last
        phase, last = moved / moved.abs().clamp(min=1e-16), rebuilt
    return _sound(scale, magnitude * phase, samples).float()


def _magnitudes(scale: MelScale, mel: Tensor, first: Tensor) -> Tensor:
    """S >= 0 (batch, window / 2 + 1, frames) with F S nearly M (batch, bands, frames), near S as
    it is first.
    """
    f, s = scale.filters.to(mel), first.clamp(min=1e-8)
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
