"""The data set ``tones``: harmonic sounds of a known spectrum, made when they are asked for."""

from __future__ import annotations

import torch

from unfog.audio.data.cuts import LABEL
from unfog.audio.oracle import harmonic_spectrum
from unfog.core.named_class import named
from unfog.core.random import generator
from unfog.data.dataset import ArrayDataset, datasets
from unfog.errors import InputError

PITCHES = (220, 262, 294, 330, 392, 440, 523, 587)  # Hz, of a pentatonic scale
TONES = 4


@datasets.register("tones")
class Tones(ArrayDataset):
    """Sounds (1, frames) of deviation .1 of four tones at multiples of a pitch, Gaussian in
    amplitude (``audio.oracle.harmonic_spectrum``): what is drawn of a model can be held to the law.

    The condition ``label`` is the pitch in Hz.

    Args:
        count: Sounds.
        rate: Frames a second.
        frames: Of a sound.
        seed: Sound k is a function of (seed, k).

    Raises:
        InputError: A sound is shorter than a period of the lowest pitch, or the rate too low.
    """

    def __init__(
        self, count: int = 2000, rate: int = 8000, frames: int = 2048, seed: int = 0
    ) -> None:
        places = [round(pitch * frames / rate) for pitch in PITCHES]
        if min(places) < 1 or count < 1:
            raise InputError(
                f"A sound of {frames} frames at {rate} a second holds no period of "
                f"{PITCHES[0]} Hz; make it longer."
            )
        numbers = torch.arange(count) % len(PITCHES)
        roots = torch.stack([harmonic_spectrum(frames, p, TONES).sqrt() for p in places])
        white = torch.stack(
            [
                torch.randn(frames, dtype=torch.float64, generator=generator(seed, "tones", k))
                for k in range(count)
            ]
        )
        x = torch.fft.ifft(torch.fft.fft(white) * roots[numbers] * frames**0.5).real
        names = [str(pitch) for pitch in PITCHES]
        super().__init__(
            "tones",
            x[:, None].float(),
            {"name": "range", "low": -1.0, "high": 1.0},
            {LABEL: named(names)},
            {LABEL: numbers},
            {"rate": rate, "seed": seed},
        )
        self.format, self.voxel = "sound", (1 / rate,)
        self.captions = tuple(f"a tone of {names[k]} Hz" for k in numbers.tolist())
