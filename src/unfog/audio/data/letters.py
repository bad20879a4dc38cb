"""The data set ``speech``: spoken letters and syllables of many languages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from unfog.audio.data.cuts import Cuts, prepared, spoken
from unfog.audio.sounds import read_sound
from unfog.audio.sounds.sound import Sound
from unfog.data.builtin.packages import fetched_folder
from unfog.data.dataset import choose, datasets
from unfog.files.text import read_text

PACKAGE = "klettres-data"
SPLITS, PARTS, TOLD = ("train", "test", "all"), ("letters", "syllables", "all"), ("class", "none")
HELD_OUT = ("en_GB", "nds", "pt_BR")  # speakers of the split test
_SOUND = re.compile(r'<sound\s+name="([^"]*)"\s+file="([^"]*)"')


@datasets.register("speech")
class Speech(Cuts):
    """Clips (1, frames) of spoken letters and syllables out of KLettres, one speaker a language,
    each scaled to the same peak and without the silence about it.

    The split is by speaker: ``HELD_OUT`` are for testing. The condition ``label`` is the letter, a
    to z, or the speaker where there are syllables too.

    Args:
        split: ``train``, ``test`` or ``all``.
        part: ``letters``, of the Latin alphabet; ``syllables``; or ``all``, of every script.
        told: ``class`` for the condition, ``none`` for none.
        speakers: The languages taken, such as [en, fr]; those of the split by default.
        rate: Frames a second.
        frames: Of a clip.

    Raises:
        InputError: An option is out of range, or the package cannot be fetched.
    """

    def __init__(
        self,
        split: str = "train",
        part: str = "letters",
        told: str = "class",
        speakers: Sequence[str] | None = None,
        rate: int = 16_000,
        frames: int = 16_384,
    ) -> None:
        for field, value, among in (
            ("split", split, SPLITS),
            ("part", part, PARTS),
            ("told", told, TOLD),
        ):
            choose(f"data.{field} of speech", value, among)
        folder = fetched_folder(PACKAGE)
        languages = sorted(path.parent.name for path in folder.glob("*/sounds.xml"))
        for speaker in speakers or ():
            choose("A speaker", speaker, languages)
        test = split == "test"
        chosen = [one for one in languages if split == "all" or (one in HELD_OUT) == test]
        entries = [
            (language, name, path)
            for language in speakers or chosen
            for name, path in _entries(folder, language, part)
        ]
        sounds, letters = [_utterance(path, rate) for _, _, path in entries], part == "letters"
        if letters:  # one clip each
            sounds = [replace(one, samples=one.samples[:, :frames]) for one in sounds]
        labels = [name if letters else language for language, name, _ in entries]
        self.speakers = tuple(language for language, _, _ in entries)
        captions = [
            f"the {'letter' if letters else 'sound'} {name}, spoken in {language}"
            for language, name, _ in entries
        ]
        super().__init__(
            "speech",
            sounds,
            frames,
            stride=frames,
            labels=labels if told == "class" else None,
            captions=captions,
            options={"split": split, "part": part},
        )


def _entries(folder: Path, language: str, part: str) -> list[tuple[str, Path]]:
    """What a language's table names and where it lies, each file once."""
    found: dict[Path, str] = {}
    for name, file in _SOUND.findall(read_text(folder / language / "sounds.xml")):
        path = folder / file
        letter = "/alpha/" in file
        latin = letter and len(name) == 1 and name.isascii() and name.isalpha()
        wanted = {"letters": latin, "syllables": not letter, "all": True}[part]
        if wanted and path.is_file():
            found.setdefault(path, name.lower())
    return [(name, path) for path, name in found.items()]


@lru_cache(maxsize=4096)
def _utterance(path: Path, rate: int) -> Sound:
    """A recording without the silence about it, mono and scaled."""
    sound = prepared(read_sound(path), rate, 1)
    return replace(sound, samples=spoken(sound.samples, rate))
