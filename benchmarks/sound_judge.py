"""A judge of spoken English letters: PocketSphinx with the acoustic model that its package carries.

That model was trained on many speakers of American English, none of them a speaker of `speech`. A
grammar lets it answer with one letter, as its dictionary pronounces them.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from pocketsphinx import Decoder, get_model_path
from torch import Tensor

from unfog.audio.data.letters import Speech

LETTERS = "abcdefghijklmnopqrstuvwxyz"
RATE = 16_000
SILENCE = 4_000  # samples before and after, of noise 60 dB below full scale
PEAK = 0.9


class Judge:
    """What PocketSphinx hears in sounds of one letter each."""

    def __init__(self) -> None:
        model = os.path.join(get_model_path(), "en-us")
        self.decoder: Any = Decoder(
            hmm=os.path.join(model, "en-us"),
            dict=os.path.join(model, "cmudict-en-us.dict"),
            lm=None,
            loglevel="FATAL",
            samprate=RATE,
        )
        words = " | ".join(f"{one}." for one in LETTERS)
        self.decoder.add_jsgf_string(
            "letter", f"#JSGF V1.0;\ngrammar letters;\npublic <letter> = {words};\n"
        )
        self.decoder.activate_search("letter")

    def heard(self, x: Tensor) -> list[str]:
        """The letter of each sound (batch, 1, samples), "" where it hears none."""
        randomness = np.random.default_rng(0)
        return [self._letter(one[0].double().numpy(), randomness) for one in x]

    def _letter(self, x: np.ndarray, randomness: np.random.Generator) -> str:
        """The letter of one sound (samples,), scaled to a peak."""
        beside = 1e-3 * randomness.standard_normal((2, SILENCE))
        whole = np.concatenate([beside[0], PEAK * x / max(np.abs(x).max(), 1e-9), beside[1]])
        self.decoder.start_utt()
        self.decoder.process_raw((32767 * whole).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr[:1] if found is not None else ""


def spoken(speakers: list[str]) -> tuple[list[Tensor], list[str]]:
    """Recorded letters (1, 1, samples) of speakers, and which they are."""
    data = Speech(split="all", part="letters", speakers=speakers, rate=RATE)
    said = {number: words for (number, _), words in zip(data.places, data.captions, strict=True)}
    # "the letter a, spoken in en"
    names = [said[k].split(" ", 2)[2].split(",")[0] for k in range(len(data.recordings))]
    sounds = [Tensor(x[0, : data.shape[1]].copy())[None, None] for x in data.recordings]
    return sounds, names
