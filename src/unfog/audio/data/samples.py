"""The data set ``sounds``: short sounds of instruments, and loops with their tempo."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from unfog.audio.data.cuts import Cuts, prepared
from unfog.audio.data.tempo import NAME, SECTION, tempo_of
from unfog.audio.sounds import read_sound
from unfog.audio.sounds.sound import Sound
from unfog.data.builtin.packages import fetched_folder
from unfog.data.dataset import choose, datasets

PACKAGE = "supersonic-scsynth-samples"
SPLITS, PARTS = ("train", "test", "all"), ("all", "loops")
TEST = 10  # one in so many is for testing
WORDS = {
    "ambi": "ambient",
    "arovane": "arovane",
    "bass": "bass",
    "bd": "bass drum",
    "drum": "drum",
    "elec": "electric",
    "glitch": "glitch",
    "guit": "guitar",
    "hat": "hi-hat",
    "loop": "loop",
    "mehackit": "mehackit",
    "misc": "miscellaneous",
    "perc": "percussion",
    "ride": "ride cymbal",
    "sn": "snare drum",
    "tabla": "tabla",
    "tbd": "synthesiser",
    "vinyl": "vinyl",
}  # the first word of a file's name, and the instrument


@datasets.register("sounds")
class Sounds(Cuts):
    """Clips (1, frames) of 206 sounds that come with Sonic Pi, scaled to the same peak.

    The condition ``label`` is the instrument; captions are the names in words. Loops have the
    condition ``tempo`` besides, in beats a minute, by the autocorrelation of their onsets.

    Args:
        split: ``train``, ``test`` (every tenth sound) or ``all``.
        part: ``all``, or ``loops`` alone.
        rate: Frames a second.
        frames: Of a clip.
        stride: From one clip to the next, in frames; half a clip by default.

    Raises:
        InputError: An option is out of range, or the package cannot be fetched.
    """

    def __init__(
        self,
        split: str = "train",
        part: str = "all",
        rate: int = 16_000,
        frames: int = 16_384,
        stride: int | None = None,
    ) -> None:
        choose("data.split of sounds", split, SPLITS)
        choose("data.part of sounds", part, PARTS)
        loops = part == "loops"
        files = sorted(fetched_folder(PACKAGE).glob("loop_*.flac" if loops else "*.flac"))
        test = {file for k, file in enumerate(files) if k % TEST == TEST - 1}
        files = [f for f in files if split == "all" or (f in test) == (split == "test")]
        sounds = [_sample(file, rate) for file in files]
        super().__init__(
            "sounds",
            sounds,
            frames,
            stride,
            labels=None if loops else [_instrument(file) for file in files],
            captions=[_caption(file) for file in files],
            options={"split": split, "part": part},
        )
        self.tempi = np.array([tempo_of(s) for s in sounds], np.float32) if loops else None
        if loops:
            self.conditions = {NAME: dict(SECTION)}

    def _cut(self, places: list[tuple[int, int]]) -> dict[str, Tensor]:  # type: ignore[override]
        out = super()._cut(places)
        if self.tempi is not None:
            out[NAME] = Tensor(self.tempi[[number for number, _ in places]])[:, None]
        return out


def _instrument(file: Path) -> str:
    word = re.split(r"[_\d]", file.stem)[0]
    return WORDS.get(word, word)


def _caption(file: Path) -> str:
    """The words of a file's name."""
    first, *others = re.sub(r"(?<=[a-z])\d+", " ", file.stem).replace("_", " ").split()
    return " ".join([WORDS.get(first, first), *others])


@lru_cache(maxsize=512)
def _sample(file: Path, rate: int) -> Sound:
    return prepared(read_sound(file), rate, 1)
