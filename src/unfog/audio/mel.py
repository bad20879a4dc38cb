r"""Log-mel spectrograms, as DiffWave's authors have them: 80 bands, a hop of 256 samples.

    S = |STFT(x)| / |w|,   w Hann's window of 1024 samples,   M = F S,
    m = clip((20 log10 max(M, 1e-5) + 80) / 100, 0, 1),

F triangles that are even on the mel scale 2595 log10(1 + f / 700) from 20 Hz to half the rate.
Frame k is centred on sample ``hop`` k, so L samples have ceil(L / hop) frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unfog.errors import InputError

LEAST = 1e-5  # of M: -100 dB
DECIBELS = 100.0  # that m spans
TOP = 20.0  # dB, at m = 1


@dataclass(frozen=True)
class MelScale:
    """The log-mel spectrogram of sounds of one rate.

    Args:
        rate: Samples a second.
        bands: Mel bands.
        hop: Samples from frame to frame.
        window: Samples of a window.
        low: Where the bands begin, in Hz.
        high: Where they end; half the rate by default.

    Raises:
        InputError: There are fewer samples in a window than in a hop, or the bands have no width.
    """

    rate: int
    bands: int = 80
    hop: int = 256
    window: int = 1024
    low: float = 20.0
    high: float | None = None

    def __post_init__(self) -> None:
        top = self.rate / 2 if self.high is None else self.high
        if not 1 <= self.hop <= self.window or not 0 <= self.low < top <= self.rate / 2:
            raise InputError(
                f"A spectrogram has a hop of 1 to {self.window} samples and bands within 0 to "
                f"{self.rate / 2:g} Hz, not {self.hop} and {self.low:g} to {top:g}."
            )

    @cached_property
    def filters(self) -> Tensor:
        """F, (bands, window / 2 + 1), float64: triangles of height 1."""
        top = self.rate / 2 if self.high is None else self.high
        ends = torch.tensor([self.low, top], dtype=torch.float64)
        low, high = (2595 * torch.log10(1 + ends / 700)).tolist()
        even = torch.linspace(low, high, self.bands + 2, dtype=torch.float64)
        corner = 700 * (10 ** (even / 2595) - 1)
        f = torch.linspace(0, self.rate / 2, self.window // 2 + 1, dtype=torch.float64)
        # Each triangle rises from the corner before its own and falls to the one after.
        slope = (f - corner[:, None]) / corner.diff()[[*range(self.bands + 1), -1], None]
        rising, falling = slope[:-2], -(f - corner[2:, None]) / corner.diff()[1:, None]
        filters: Tensor = torch.minimum(rising, falling).clamp(min=0)
        return filters

    def frames(self, samples: int) -> int:
        """How many frames so many samples have."""
        return -(-samples // self.hop)

    def spectrum(self, x: Tensor) -> Tensor:
        """The windowed Fourier transform (batch, window / 2 + 1, frames) of x (batch, samples),
        over the norm of the window; the sound goes on at its ends by reflection.
        """
        half = self.window // 2
        short = max(0, half + 1 - x.shape[-1])
        padded = torch.nn.functional.pad(x, (0, short)) if short else x
        padded = torch.nn.functional.pad(padded[:, None], (half, half), mode="reflect")[:, 0]
        w = torch.hann_window(self.window, dtype=x.dtype, device=x.device)
        s = torch.stft(padded, self.window, self.hop, window=w, center=False, return_complex=True)
        cut: Tensor = s[..., : self.frames(x.shape[-1])] / w.norm()
        return cut

    def magnitudes(self, x: Tensor) -> Tensor:
        """M, (..., bands, frames), of x (..., samples)."""
        flat = self.spectrum(x.reshape(-1, x.shape[-1])).abs()
        mel = self.filters.to(flat) @ flat
        return mel.reshape(*x.shape[:-1], *mel.shape[1:])

    def log_mel(self, x: Tensor) -> Tensor:
        """m in [0, 1], (..., bands, frames), of x (..., samples)."""
        decibels = 20 * self.magnitudes(x).clamp(min=LEAST).log10()
        return ((decibels - TOP) / DECIBELS + 1).clamp(0, 1)

    def of_log(self, m: Tensor) -> Tensor:
        """M of m, shaped alike."""
        return 10 ** ((DECIBELS * (m - 1) + TOP) / 20)
