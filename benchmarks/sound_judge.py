"""A judge of spoken letters: a small network on log-mel spectrograms, trained on few speakers.

What a letter is in one language it is nearly in another, but voices and microphones differ more
than letters do. So the judge sees every clip at other pitches, speeds, loudnesses of its bands and
noises, and learns which letters a syllable is spelled with beside which letter it hears.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate

from unfog.audio.data.letters import Speech
from unfog.audio.mel import MelScale
from unfog.audio.sounds.sound import Samples

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SCALE = MelScale(16_000, bands=48, hop=192, window=640)
FRAMES, LOUD = 64, 0.35  # of a picture; below the peak, over 100 dB
VARIANTS = {"letters": 16, "syllables": 4}  # of each clip
BATCH, SPELLING = 32, 3.0  # clips of each part a step; the weight of spelling

Waves = NDArray[np.float64]


@dataclass(frozen=True)
class Spoken:
    """Clips of one part: samples (frames,) of each, what is said, and who says it."""

    part: str
    sounds: list[Samples]
    names: list[str]
    speakers: list[str]

    @classmethod
    def of(cls, part: str, speakers: list[str] | None = None) -> Spoken:
        """All clips of letters or syllables by some speakers, or by all."""
        data = Speech(split="all", part=part, speakers=speakers, rate=SCALE.rate)
        told = {
            number: words for (number, _), words in zip(data.places, data.captions, strict=True)
        }
        # "the letter a, spoken in en"
        names = [told[k].split(" ", 2)[2].split(",")[0] for k in range(len(data.recordings))]
        sounds = [x[0, : data.shape[1]] for x in data.recordings]
        return cls(part, sounds, names, list(data.speakers))


class Judge(nn.Module):
    """Pictures (batch, 1, bands, frames) to the letter heard and the letters it is spelled with."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k, (a, b) in enumerate(pairwise((1, width, 2 * width, 4 * width, 4 * width))):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] * (k < 3) + [nn.Dropout2d(0.1)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((3, 4)), nn.Flatten())
        self.hidden = nn.Sequential(
            nn.Dropout(0.4), nn.Linear(48 * width, 128), nn.ReLU(), nn.Dropout(0.3)
        )
        self.letter, self.spelling = (nn.Linear(128, len(LETTERS)) for _ in range(2))

    def forward(self, m: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(self.body(m))
        return self.letter(h), self.spelling(h)

    @torch.no_grad()
    def heard(self, x: Tensor) -> Tensor:
        """The letter's number of each sound (batch, 1, samples)."""
        m = torch.stack([picture(one[0].numpy()) for one in x])
        return cast(Tensor, self(m)[0].argmax(1))


def picture(x: Samples | Waves, stretch: float = 1.0) -> Tensor:
    """The log-mel spectrogram (1, bands, frames) of samples, each band less its mean where the
    sound is loud, from the first loud frame on.
    """
    m = SCALE.log_mel(torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float32)[None])
    if stretch != 1:
        m = interpolate(m, max(8, round(m.shape[-1] * stretch)), mode="linear")
    loud = m[0].amax(0) > m.max() - LOUD
    begin = max(0, int(loud.nonzero()[0]) - 4)
    out = 6 * (m - m[..., loud].mean(-1, keepdim=True)).clamp(-0.5, 0.5)
    out = torch.where(loud, out, 0.5 * out)[..., begin : begin + FRAMES]
    return torch.nn.functional.pad(out, (0, FRAMES - out.shape[-1]), value=-1.5)


def varied(x: Samples, randomness: np.random.Generator) -> Tensor:
    """A picture of samples at another pitch, through another microphone, in noise, and at another
    speed.
    """
    # Pitch and speed together, then an equaliser: a smooth random gain over the frequencies.
    count = int(len(x) * np.exp(randomness.uniform(-0.22, 0.22)))
    moved = np.interp(np.linspace(0, len(x) - 1, count), np.arange(len(x)), x)
    walk = np.cumsum(randomness.standard_normal(12))
    gain = (walk - walk.mean()) * 6 * randomness.uniform() / walk.std()
    spectrum = np.fft.rfft(moved)
    at = np.linspace(0, 11, len(spectrum))
    moved = np.fft.irfft(spectrum * 10 ** (np.interp(at, np.arange(12), gain) / 20), count)
    noise = np.abs(moved).max() * 10 ** randomness.uniform(-3.2, -1.6)
    moved = moved + noise * randomness.standard_normal(count)
    # A little time ahead, and another speed by itself.
    late = np.zeros(randomness.integers(0, 1200))
    return picture(np.concatenate([late, moved]), float(np.exp(randomness.uniform(-0.2, 0.2))))


def pictures(clips: Spoken, randomness: np.random.Generator) -> Tensor:
    """Variants (clips, variants, 1, bands, frames) of every clip."""
    count = VARIANTS[clips.part]
    return torch.stack(
        [torch.stack([varied(x, randomness) for _ in range(count)]) for x in clips.sounds]
    )


def trained_judge(speakers: list[str], epochs: int, seed: int = 0) -> Judge:
    """A judge trained on the letters and syllables of some speakers."""
    torch.manual_seed(seed)
    randomness = np.random.default_rng(seed)
    letters, syllables = (Spoken.of(part, speakers) for part in VARIANTS)
    seen, others = pictures(letters, randomness), pictures(syllables, randomness)
    label = torch.tensor([LETTERS.index(name) for name in letters.names])
    spelled = torch.tensor(
        [[float(one in name) for one in LETTERS] for name in letters.names + syllables.names]
    )
    judge, steps = Judge(), epochs * -(-len(seen) // BATCH)
    optimiser = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(seen)).split(BATCH):
            beside = torch.randint(len(others), (BATCH,))
            parts = [
                m[at, torch.randint(m.shape[1], (len(at),))]
                for m, at in ((seen, rows), (others, beside))
            ]
            letter, spelling = judge(torch.cat(parts))
            loss = cross_entropy(letter[: len(rows)], label[rows], label_smoothing=0.1)
            target = spelled[torch.cat([rows, len(seen) + beside])]
            loss = loss + SPELLING * binary_cross_entropy_with_logits(spelling, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return judge.eval()
